# sdk/<lang>/template and the SDK beside it -> <build>/generated/templates.c, the table that `pando new` writes
# projects from (src/cli/templates.h). sdk/README.md says what lies where.
file(GLOB_RECURSE template_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sdk/*)
# What a tool left behind there is no reason to build anew.
list(FILTER template_files EXCLUDE REGEX "/(target|node_modules|build|zig-out|zig-cache|\\.zig-cache|tests)/")
# In a checkout git's index decides what is taken: `git add` alone is a reason to.
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env --unset=GIT_DIR --unset=GIT_WORK_TREE --unset=GIT_INDEX_FILE
          git -C ${CMAKE_CURRENT_SOURCE_DIR}/sdk rev-parse --git-path index
  OUTPUT_VARIABLE template_index
  RESULT_VARIABLE template_result
  ERROR_QUIET
  OUTPUT_STRIP_TRAILING_WHITESPACE)
cmake_path(ABSOLUTE_PATH template_index BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/sdk NORMALIZE)
if(NOT template_result EQUAL 0 OR NOT EXISTS ${template_index})
  set(template_index "")
endif()
set(PANDO_TEMPLATES ${CMAKE_BINARY_DIR}/generated/templates.c)
add_custom_command(OUTPUT ${PANDO_TEMPLATES}
  COMMAND ${CMAKE_COMMAND}
    -DSDK_DIR=${CMAKE_CURRENT_SOURCE_DIR}/sdk
    -DOUTPUT=${PANDO_TEMPLATES}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed_templates.cmake
  DEPENDS ${template_files} ${template_index} ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed_templates.cmake
  COMMENT "Embedding the templates of pando new"
  VERBATIM)
