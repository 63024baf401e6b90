# tests/unit/<folder>/<name>_test.c -> one cmocka program each, ctest name <folder>/<name>
# tests/e2e/<name>.sh               -> ctest name e2e/<name>; exit code 77 means skipped
# tests/soak/<name>_soak.c          -> a program each, run by `make soak` only
# tests/fuzz/<name>_fuzz.c          -> a libFuzzer program each, with PANDO_FUZZ
enable_testing()
set(test_environment
  PANDO=${CMAKE_BINARY_DIR}/bin/pando
  PANDO_BEFORE=${CMAKE_BINARY_DIR}/bin/pando-before
  PANDO_BUILD_DIR=${CMAKE_BINARY_DIR}
  PANDO_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR}
  PANDO_SANITIZE=${PANDO_SANITIZE}
  ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=1:abort_on_error=1:allow_addr2line=1
  LSAN_OPTIONS=suppressions=${CMAKE_CURRENT_SOURCE_DIR}/cmake/lsan-suppressions.txt:print_suppressions=0
  UBSAN_OPTIONS=print_stacktrace=1:allow_addr2line=1
  TSAN_OPTIONS=halt_on_error=1:report_signal_unsafe=0:suppressions=${CMAKE_CURRENT_SOURCE_DIR}/cmake/tsan-suppressions.txt:second_deadlock_stack=1:allow_addr2line=1)

# TSan and ASan of Debian 12 cannot place their shadow memory under the address randomisation of newer
# kernels (vm.mmap_rnd_bits = 32): run without it.
set(test_launcher)
if(PANDO_SANITIZE)
  find_program(PANDO_SETARCH setarch)
  if(PANDO_SETARCH)
    set(test_launcher ${PANDO_SETARCH} -R)
  endif()
endif()

# No longer than ten minutes for a test: a hang is a failure with a name.
set(PANDO_TEST_TIMEOUT_S 600)

# pando_test_program(TARGET SOURCE FOLDER): a C program over all libraries, at <build>/tests/FOLDER.
function(pando_test_program target source folder)
  cmake_path(GET source STEM stem)
  add_executable(${target} ${source})
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${folder}
    OUTPUT_NAME ${stem})
  target_compile_definitions(${target} PRIVATE
    _GNU_SOURCE
    PD_TEST_GUEST_DIR="${CMAKE_BINARY_DIR}/tests/guests"
    PD_TEST_EXAMPLE_DIR="${CMAKE_BINARY_DIR}/share/examples"
    PD_TEST_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}"
    PD_TEST_PANDO="${CMAKE_BINARY_DIR}/bin/pando")
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/tests/unit)
  target_link_libraries(${target} PRIVATE pando_all PkgConfig::CMOCKA)
  add_dependencies(${target} guests)
endfunction()

file(GLOB unit_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/unit/*/*_test.c)
foreach(source IN LISTS unit_tests)
  cmake_path(GET source STEM name)
  string(REGEX REPLACE "_test$" "" name ${name})
  cmake_path(GET source PARENT_PATH folder)
  cmake_path(GET folder FILENAME folder)
  pando_test_program(test_${folder}_${name} ${source} unit/${folder})
  add_test(NAME ${folder}/${name} COMMAND ${test_launcher} $<TARGET_FILE:test_${folder}_${name}>)
  set_tests_properties(${folder}/${name} PROPERTIES
    ENVIRONMENT "${test_environment}" TIMEOUT ${PANDO_TEST_TIMEOUT_S} SKIP_RETURN_CODE 77)
endforeach()

file(GLOB soak_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/soak/*_soak.c)
foreach(source IN LISTS soak_tests)
  cmake_path(GET source STEM name)
  pando_test_program(${name} ${source} soak)
  target_link_libraries(${name} PRIVATE pando_heap) # what is soaked is what is shipped
endforeach()

if(TARGET pando)
  file(GLOB e2e_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/e2e/*.sh)
  foreach(source IN LISTS e2e_tests)
    cmake_path(GET source STEM name)
    if(name MATCHES "^lib") # shared by the others
      continue()
    endif()
    add_test(NAME e2e/${name} COMMAND ${test_launcher} bash ${source})
    # Of several at a time the long ones begin, or the last would run alone.
    set_tests_properties(e2e/${name} PROPERTIES COST 100
      ENVIRONMENT "${test_environment}" TIMEOUT ${PANDO_TEST_TIMEOUT_S} SKIP_RETURN_CODE 77)
  endforeach()
endif()

if(PANDO_FUZZ)
  file(GLOB fuzzers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/fuzz/*_fuzz.c)
  foreach(source IN LISTS fuzzers)
    cmake_path(GET source STEM name)
    pando_test_program(${name} ${source} fuzz)
    target_compile_options(${name} PRIVATE -Wno-missing-prototypes) # LLVMFuzzerTestOneInput
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endforeach()
endif()
