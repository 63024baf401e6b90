# sdk/<lang>/template and the SDK beside it -> <build>/generated/templates.c, the table that `pando new` writes
# projects from (src/cli/templates.h). sdk/README.md says what lies where.
file(GLOB_RECURSE template_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sdk/*)
# What a tool left behind there is no reason to build anew.
list(FILTER template_files EXCLUDE REGEX "/(target|node_modules|build|zig-out|zig-cache|\\.zig-cache|tests)/")
set(PANDO_TEMPLATES ${CMAKE_BINARY_DIR}/generated/templates.c)
add_custom_command(OUTPUT ${PANDO_TEMPLATES}
  COMMAND ${CMAKE_COMMAND}
    -DSDK_DIR=${CMAKE_CURRENT_SOURCE_DIR}/sdk
    -DOUTPUT=${PANDO_TEMPLATES}
    -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed_templates.cmake
  DEPENDS ${template_files} ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed_templates.cmake
  COMMENT "Embedding the templates of pando new"
  VERBATIM)
