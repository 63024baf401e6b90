# Language, warnings, optimisation and sanitizers: the same for every target.
include(CheckIPOSupported)
include(CheckLinkerFlag)

option(PANDO_FRAME_POINTERS "Keep frame pointers, so that perf sees whole stacks" ON)
option(PANDO_LTO "Optimise across files at link time" OFF)
option(PANDO_WERROR "Treat warnings as errors" ON)
option(PANDO_FUZZ "Build tests/fuzz with libFuzzer (clang only)" OFF)
option(PANDO_MUTANTS "Compile the deliberate slips of src/base/mutant_list.h in; never shipped" OFF)
set(PANDO_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, comma separated")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)

# CMake's own release flags would define NDEBUG; here assertions are part of the program.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")

add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
  -Wswitch-enum -Wundef -Wvla -Walloca -Wcast-qual -Wformat=2 -fno-common)
if(PANDO_WERROR)
  add_compile_options(-Werror)
endif()

# Functions that Pando does not call fail to compile at the line that calls them.
add_compile_options("SHELL:-include ${CMAKE_CURRENT_SOURCE_DIR}/src/base/banned.h")

# Neither binaries nor assertion texts name the machine that built them.
add_compile_options(-ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=)

if(PANDO_MUTANTS)
  add_compile_definitions(PANDO_MUTANTS)
endif()

if(PANDO_FRAME_POINTERS OR PANDO_SANITIZE)
  add_compile_options(-fno-omit-frame-pointer)
endif()

if(PANDO_SANITIZE)
  # A finding ends the test: a report that scrolls by is a report that nobody reads.
  add_compile_options(-fsanitize=${PANDO_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PANDO_SANITIZE})
else()
  # _FORTIFY_SOURCE and the sanitizers each replace the same libc functions; one at a time.
  add_compile_options($<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
endif()

if(PANDO_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "PANDO_FUZZ needs clang: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(PANDO_LTO)
  check_ipo_supported()
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()

# lld links Wasmtime's 20 MB archive several times faster than GNU ld. gcc's LTO needs its own linker.
if(NOT (PANDO_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU"))
  check_linker_flag(C -fuse-ld=lld PANDO_HAVE_LLD)
  if(PANDO_HAVE_LLD)
    add_link_options(-fuse-ld=lld)
  endif()
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,--gc-sections)
