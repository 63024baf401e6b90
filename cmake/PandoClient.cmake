# libpando: the client library for programs (include/pando/client.h), shared and static.
#
# It is made of the same sources as the command's own client. Nothing but pando_* leaves it: the shared library by
# its version script, the static one because its objects are joined and their other names made local.
set(PANDO_CLIENT_SOURCES
  src/base/assert.c src/base/status.c src/base/varint.c
  src/host/alloc.c src/host/detached.c src/host/within.c
  src/kv/answer.c src/kv/command.c src/kv/error.c src/kv/member.c src/kv/txn_check.c
  src/node/replica_request.c src/node/replica_watch_codec.c)
file(GLOB client_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}
  ${CMAKE_CURRENT_SOURCE_DIR}/src/client/*.c)

add_library(pando_client_objects OBJECT ${PANDO_CLIENT_SOURCES} ${client_sources})
target_compile_definitions(pando_client_objects PRIVATE
  _GNU_SOURCE PD_CLIENT_VERSION="${PROJECT_VERSION}")
target_include_directories(pando_client_objects PRIVATE
  ${CMAKE_CURRENT_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR}/include ${GNUTLS_INCLUDE_DIRS})
set_target_properties(pando_client_objects PROPERTIES
  POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden INTERPROCEDURAL_OPTIMIZATION OFF)

set(PANDO_CLIENT_EXPORTS ${CMAKE_CURRENT_SOURCE_DIR}/src/client/exports.map)
add_library(pando_shared SHARED $<TARGET_OBJECTS:pando_client_objects>)
target_link_libraries(pando_shared PRIVATE PkgConfig::GNUTLS Threads::Threads)
if(NOT PANDO_SANITIZE) # whose runtime comes with the program
  target_link_options(pando_shared PRIVATE -Wl,--no-undefined)
endif()
target_link_options(pando_shared PRIVATE -Wl,--version-script=${PANDO_CLIENT_EXPORTS})
set_target_properties(pando_shared PROPERTIES
  OUTPUT_NAME pando VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${PANDO_CLIENT_EXPORTS}
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

set(PANDO_CLIENT_ARCHIVE ${CMAKE_BINARY_DIR}/lib/libpando.a)
add_custom_command(OUTPUT ${PANDO_CLIENT_ARCHIVE}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/lib
  COMMAND ${CMAKE_COMMAND} -E rm -f ${PANDO_CLIENT_ARCHIVE}
  COMMAND ${CMAKE_LINKER} -r -o ${CMAKE_BINARY_DIR}/lib/libpando.o $<TARGET_OBJECTS:pando_client_objects>
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=pando_* ${CMAKE_BINARY_DIR}/lib/libpando.o
  COMMAND ${CMAKE_AR} rcs ${PANDO_CLIENT_ARCHIVE} ${CMAKE_BINARY_DIR}/lib/libpando.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${CMAKE_BINARY_DIR}/lib/libpando.o
  DEPENDS pando_client_objects $<TARGET_OBJECTS:pando_client_objects>
  COMMAND_EXPAND_LISTS VERBATIM
  COMMENT "Joining the objects of libpando.a")
add_custom_target(pando_archive ALL DEPENDS ${PANDO_CLIENT_ARCHIVE})

# The installed tree may be moved as a whole.
file(RELATIVE_PATH PANDO_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/src/client/pando.pc.in ${CMAKE_BINARY_DIR}/pando.pc @ONLY)
