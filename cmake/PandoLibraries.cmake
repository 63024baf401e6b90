# One static library per folder of src/, `pando_<folder>`, and the `pando` command over all of them.
#
# What a folder may include from the others is DESIGN's table, checked by scripts/check_includes.py;
# here stands only which outside libraries it may reach.
set(PANDO_FOLDERS
  base raft kv coord jobs actor proto wasm store wal net gateway host client node sim cli)

set(PANDO_EXTERNAL_wasm wasmtime PkgConfig::NETTLE PkgConfig::SQLITE Threads::Threads)
set(PANDO_EXTERNAL_store rocksdb)
set(PANDO_EXTERNAL_net PkgConfig::NGTCP2 PkgConfig::GNUTLS PkgConfig::HOGWEED PkgConfig::NETTLE
  Threads::Threads)
set(PANDO_EXTERNAL_host Threads::Threads PkgConfig::LIBUV PkgConfig::GNUTLS PkgConfig::CARES)
set(PANDO_EXTERNAL_proto PkgConfig::PROTOBUFC)
set(PANDO_EXTERNAL_gateway PkgConfig::NGHTTP2 PkgConfig::PROTOBUFC PkgConfig::LIBUV PkgConfig::NETTLE
  PkgConfig::GNUTLS http_parser)
set(PANDO_EXTERNAL_node wasmtime PkgConfig::NETTLE PkgConfig::JANSSON
  PkgConfig::LIBYAML Threads::Threads)
set(PANDO_EXTERNAL_client PkgConfig::GNUTLS Threads::Threads)
set(PANDO_EXTERNAL_sim Threads::Threads)
set(PANDO_EXTERNAL_cli wasmtime PkgConfig::NETTLE PkgConfig::GNUTLS PkgConfig::JANSSON
  PkgConfig::LIBYAML Threads::Threads)

# Pure folders see ISO C and POSIX's strnlen; the others also Linux's and glibc's own interfaces.
set(PANDO_PURE_FOLDERS base raft kv coord jobs actor proto)

# Written anew whenever the commit changes, so that `pando version` never lies about its source.
set(PANDO_BUILD_INFO ${CMAKE_BINARY_DIR}/generated/build_info.h)
add_custom_target(build_info
  COMMAND ${CMAKE_COMMAND}
    -DSOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR}
    -DOUTPUT=${PANDO_BUILD_INFO}
    -DVERSION=${PROJECT_VERSION}
    "-DCOMPILER=${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}"
    -DBUILD_TYPE=${CMAKE_BUILD_TYPE}
    -DSANITIZE=${PANDO_SANITIZE}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/build_info.cmake
  BYPRODUCTS ${PANDO_BUILD_INFO}
  COMMENT "Noting version and commit")

include(PandoProto)
include(PandoTemplates)

set(pando_libraries)
foreach(folder IN LISTS PANDO_FOLDERS)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${folder}/*.c)
  list(FILTER sources EXCLUDE REGEX "/cli/main\\.c$")
  if(folder STREQUAL "proto")
    list(APPEND sources ${PANDO_PROTO_SOURCES})
  elseif(folder STREQUAL "cli")
    list(APPEND sources ${PANDO_TEMPLATES})
  endif()
  if(NOT sources)
    continue()
  endif()
  add_library(pando_${folder} STATIC ${sources})
  target_include_directories(pando_${folder} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/src)
  target_link_libraries(pando_${folder} PUBLIC ${PANDO_EXTERNAL_${folder}})
  if(folder IN_LIST PANDO_PURE_FOLDERS)
    target_compile_definitions(pando_${folder} PRIVATE _POSIX_C_SOURCE=200809L)
  else()
    target_compile_definitions(pando_${folder} PRIVATE _GNU_SOURCE)
  endif()
  if(folder STREQUAL "client")
    target_include_directories(pando_client PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
    target_compile_definitions(pando_client PRIVATE PD_CLIENT_VERSION="${PROJECT_VERSION}")
  endif()
  if(folder STREQUAL "node" OR folder STREQUAL "cli")
    target_include_directories(pando_${folder} PRIVATE ${CMAKE_BINARY_DIR}/generated)
    add_dependencies(pando_${folder} build_info)
  endif()
  if(folder STREQUAL "cli")
    target_include_directories(pando_cli PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/include)
  endif()
  if(folder STREQUAL "proto")
    target_include_directories(pando_proto SYSTEM PUBLIC ${PANDO_PROTO_DIR}/..)
  elseif(folder STREQUAL "gateway")
    target_link_libraries(pando_gateway PUBLIC pando_proto)
  endif()
  list(APPEND pando_libraries pando_${folder})
endforeach()

# Everything at once, for programs and tests. A group, because base declares interfaces (host.h) that
# higher folders implement, so that symbols are needed in both directions.
add_library(pando_all INTERFACE)
target_include_directories(pando_all INTERFACE
  ${CMAKE_CURRENT_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR}/include)
target_include_directories(pando_all SYSTEM INTERFACE ${PANDO_PROTO_DIR}/..)
if(pando_libraries)
  list(JOIN pando_libraries "," group)
  target_link_libraries(pando_all INTERFACE "$<LINK_GROUP:RESCAN,${group}>")
endif()
target_link_libraries(pando_all INTERFACE
  wasmtime PkgConfig::NETTLE PkgConfig::JANSSON
  PkgConfig::LIBYAML PkgConfig::LIBUV PkgConfig::NGHTTP2 PkgConfig::PROTOBUFC PkgConfig::NGTCP2
  PkgConfig::GNUTLS PkgConfig::HOGWEED PkgConfig::SQLITE PkgConfig::CARES rocksdb http_parser
  Threads::Threads)

# tools/<name>/*.c -> build/bin/<name>: programs beside `pando`, for people who check its work.
file(GLOB tool_folders CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tools/*)
foreach(folder IN LISTS tool_folders)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
  if(sources)
    cmake_path(GET folder FILENAME name)
    add_executable(${name} ${sources})
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
    target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/tools)
    target_link_libraries(${name} PRIVATE pando_all)
  endif()
endforeach()

# It speaks to a node as store-load does.
target_sources(power-loss PRIVATE tools/store-load/wire.c)

# Preloaded by build/bin/power-loss into the program that it watches. It replaces libc's functions, so glibc's
# checked variants must not be in their way. A sanitizer would have to come before it.
if(NOT PANDO_SANITIZE)
  add_library(pando-power SHARED
    tools/power-loss/shim/files.c tools/power-loss/shim/names.c tools/power-loss/shim/trace.c)
  target_compile_definitions(pando-power PRIVATE _GNU_SOURCE)
  target_compile_options(pando-power PRIVATE -U_FORTIFY_SOURCE)
  target_include_directories(pando-power PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/tools)
  target_link_libraries(pando-power PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  set_target_properties(pando-power PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  add_dependencies(power-loss pando-power)
  # Likewise, by tests/torture/torture.py.
  add_library(pando-wall-clock SHARED tests/torture/wall_clock.c)
  target_compile_definitions(pando-wall-clock PRIVATE _GNU_SOURCE)
  target_compile_options(pando-wall-clock PRIVATE -U_FORTIFY_SOURCE)
  set_target_properties(pando-wall-clock PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  # And by tests/e2e/stuck_store.sh.
  add_library(pando-no-tables SHARED tests/e2e/no_tables.c)
  target_compile_definitions(pando-no-tables PRIVATE _GNU_SOURCE)
  target_compile_options(pando-no-tables PRIVATE -U_FORTIFY_SOURCE)
  set_target_properties(pando-no-tables PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
endif()

# The heap of programs: a third quicker than glibc's when several threads spawn (ADR 0006). The sanitizers
# bring their own.
add_library(pando_heap INTERFACE)
if(NOT PANDO_SANITIZE)
  target_link_libraries(pando_heap INTERFACE
    -Wl,--push-state,--no-as-needed PkgConfig::JEMALLOC -Wl,--pop-state)
endif()

if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/src/cli/main.c)
  add_executable(pando src/cli/main.c)
  target_compile_definitions(pando PRIVATE _GNU_SOURCE)
  target_include_directories(pando PRIVATE ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(pando PRIVATE pando_heap pando_all)
  add_dependencies(pando build_info)
  # The same program, held back to the version before: for tests of clusters of mixed programs
  # (src/kv/version.h). Its own version_limit.c takes the place of the library's.
  add_executable(pando-before src/cli/main.c src/kv/version_limit.c)
  target_compile_definitions(pando-before PRIVATE _GNU_SOURCE PANDO_VERSION_LIMIT=1)
  target_include_directories(pando-before PRIVATE ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(pando-before PRIVATE pando_heap pando_all)
  add_dependencies(pando-before build_info)
endif()

# Clang tools look for the database at the root of the sources.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_BINARY_DIR STREQUAL "${CMAKE_CURRENT_SOURCE_DIR}/build")
  file(CREATE_LINK build/compile_commands.json
    ${CMAKE_CURRENT_SOURCE_DIR}/compile_commands.json SYMBOLIC)
endif()
