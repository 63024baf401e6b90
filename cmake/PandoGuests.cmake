# WebAssembly guests, with Debian's clang, lld and wasi-libc:
#   examples/<name>/*.c   -> <build>/share/examples/<name>.wasm
#   tests/guests/<name>.c -> <build>/tests/guests/<name>.wasm
#   tests/guests/<name>.wat (wabt) likewise
#
# A guest that needs other flags says so in its first line; they come last, so they win:
#   /* flags: -nostdlib -Wl,--no-entry */        ;; flags: --enable-all
# In an example of several files, <name>.c speaks for all.
find_program(PANDO_GUEST_CC NAMES clang clang-14 REQUIRED)
find_program(PANDO_WAT2WASM wat2wasm REQUIRED)

# --stack-first: a shadow stack that overflows traps instead of running into the data. 16 KiB of it
# keep an actor that uses libc at three resident pages.
set(PANDO_GUEST_FLAGS
  --target=wasm32-wasi --sysroot=/usr -std=c11 -O2 -gline-tables-only
  -ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=
  -Wall -Wextra -Wshadow -Werror
  -I${CMAKE_CURRENT_SOURCE_DIR}/sdk/c/include
  -Wl,--stack-first -Wl,-z,stack-size=16384)

file(GLOB_RECURSE sdk_headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sdk/c/include/*.h)

# The flags that a guest asks for in its first line, as a list.
function(pando_guest_own_flags source result)
  file(STRINGS ${source} first_line LIMIT_COUNT 1)
  set(flags "")
  if(first_line MATCHES "flags: *([^*]+)")
    separate_arguments(flags UNIX_COMMAND "${CMAKE_MATCH_1}")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  set(${result} "${flags}" PARENT_SCOPE)
endfunction()

# pando_guest_c(OUTPUT HEADERS SOURCE...): the first source speaks for the flags.
function(pando_guest_c output headers)
  list(GET ARGN 0 first)
  pando_guest_own_flags(${first} own_flags)
  cmake_path(RELATIVE_PATH output BASE_DIRECTORY ${CMAKE_BINARY_DIR} OUTPUT_VARIABLE shown)
  add_custom_command(OUTPUT ${output}
    COMMAND ${PANDO_GUEST_CC} ${PANDO_GUEST_FLAGS} -o ${output} ${ARGN} ${own_flags}
    DEPENDS ${ARGN} ${headers} ${sdk_headers}
    COMMENT "Building guest ${shown}" VERBATIM)
endfunction()

set(guests)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/share/examples ${CMAKE_BINARY_DIR}/tests/guests)

file(GLOB example_folders CONFIGURE_DEPENDS LIST_DIRECTORIES true ${CMAKE_CURRENT_SOURCE_DIR}/examples/*)
foreach(folder IN LISTS example_folders)
  cmake_path(GET folder FILENAME name)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
  file(GLOB headers CONFIGURE_DEPENDS ${folder}/*.h)
  if(NOT sources)
    continue()
  endif()
  if(EXISTS ${folder}/${name}.c)
    list(REMOVE_ITEM sources ${folder}/${name}.c)
    list(PREPEND sources ${folder}/${name}.c)
  endif()
  set(output ${CMAKE_BINARY_DIR}/share/examples/${name}.wasm)
  pando_guest_c(${output} "${headers}" ${sources})
  list(APPEND guests ${output})
  # The application file of the source tree points at the guest in build/; the one beside the guests, which
  # is installed with them, does not.
  if(EXISTS ${folder}/app.yaml)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/app.yaml)
    file(READ ${folder}/app.yaml application)
    string(REPLACE "../../build/share/examples/" "../" application "${application}")
    file(WRITE ${CMAKE_BINARY_DIR}/share/examples/${name}/app.yaml "${application}")
  endif()
endforeach()

file(GLOB guest_headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/guests/*.h)
file(GLOB guest_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/guests/*.c)
foreach(source IN LISTS guest_sources)
  cmake_path(GET source STEM name)
  set(output ${CMAKE_BINARY_DIR}/tests/guests/${name}.wasm)
  pando_guest_c(${output} "${guest_headers}" ${source})
  list(APPEND guests ${output})
endforeach()

file(GLOB wat_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/guests/*.wat)
foreach(source IN LISTS wat_sources)
  cmake_path(GET source STEM name)
  set(output ${CMAKE_BINARY_DIR}/tests/guests/${name}.wasm)
  pando_guest_own_flags(${source} own_flags)
  add_custom_command(OUTPUT ${output}
    COMMAND ${PANDO_WAT2WASM} ${source} -o ${output} ${own_flags}
    DEPENDS ${source}
    COMMENT "Building guest tests/guests/${name}.wasm" VERBATIM)
  list(APPEND guests ${output})
endforeach()

add_custom_target(guests ALL DEPENDS ${guests})
