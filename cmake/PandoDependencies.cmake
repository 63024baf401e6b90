# Outside libraries, each as one imported target. Their headers are SYSTEM: our warnings are for our code.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
pkg_check_modules(HOGWEED REQUIRED IMPORTED_TARGET hogweed)
pkg_check_modules(GNUTLS REQUIRED IMPORTED_TARGET gnutls)
pkg_check_modules(NGTCP2 REQUIRED IMPORTED_TARGET libngtcp2 libngtcp2_crypto_gnutls)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(LIBYAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
# Names for guests; 1.16 brought ares_getaddrinfo, 1.18 a resolv.conf of one's own.
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares>=1.18)
pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)
pkg_check_modules(NGHTTP2 REQUIRED IMPORTED_TARGET libnghttp2)
pkg_check_modules(PROTOBUFC REQUIRED IMPORTED_TARGET libprotobuf-c)
# Actors' databases; 3.37 brought what their limits need.
pkg_check_modules(SQLITE IMPORTED_TARGET sqlite3>=3.37)
if(NOT SQLITE_FOUND)
  message(FATAL_ERROR
    "No SQLite 3.37 or newer with its header: wanted for lunatic::sqlite.\n"
    "On Debian, install libsqlite3-dev; scripts/deps.sh build does it.")
endif()
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# RocksDB: a header in the system's include path and one library, without a pkg-config file in Debian.
find_library(PANDO_ROCKSDB_LIBRARY rocksdb REQUIRED)
add_library(rocksdb UNKNOWN IMPORTED)
set_target_properties(rocksdb PROPERTIES IMPORTED_LOCATION ${PANDO_ROCKSDB_LIBRARY})

# HTTP/1.1's parser, likewise.
find_library(PANDO_HTTP_PARSER_LIBRARY http_parser REQUIRED)
find_path(PANDO_HTTP_PARSER_INCLUDE http_parser.h REQUIRED)
add_library(http_parser UNKNOWN IMPORTED)
set_target_properties(http_parser PROPERTIES
  IMPORTED_LOCATION ${PANDO_HTTP_PARSER_LIBRARY}
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${PANDO_HTTP_PARSER_INCLUDE})

# Wasmtime's C API: a folder with include/ and lib/, either given (a released C API) or built once by
# scripts/wasmtime.sh into the user's cache.
set(PANDO_WASMTIME_DIR "$ENV{PANDO_WASMTIME_DIR}" CACHE PATH "Wasmtime C API: include/ and lib/")
if(PANDO_WASMTIME_DIR)
  set(wasmtime_dir ${PANDO_WASMTIME_DIR})
else()
  # Not kept in the CMake cache: a new lock file or compiler leads to a new folder.
  execute_process(
    COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/scripts/wasmtime.sh
    OUTPUT_VARIABLE wasmtime_dir OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
endif()
find_library(PANDO_WASMTIME_LIBRARY NAMES libpando_wasmtime.a libwasmtime.a
  PATHS ${wasmtime_dir}/lib NO_DEFAULT_PATH NO_CACHE)
if(NOT PANDO_WASMTIME_LIBRARY OR NOT EXISTS ${wasmtime_dir}/include/wasmtime.h)
  message(FATAL_ERROR
    "No Wasmtime C API in '${wasmtime_dir}': wanted include/wasmtime.h and lib/libwasmtime.a.\n"
    "Unset PANDO_WASMTIME_DIR to have it built, or point it at an unpacked wasmtime-*-c-api release.")
endif()
message(STATUS "Wasmtime C API: ${wasmtime_dir}")
add_library(wasmtime STATIC IMPORTED)
set_target_properties(wasmtime PROPERTIES
  IMPORTED_LOCATION ${PANDO_WASMTIME_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${wasmtime_dir}/include
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${wasmtime_dir}/include)
target_link_libraries(wasmtime INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
