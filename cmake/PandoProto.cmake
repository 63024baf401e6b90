# src/proto/<name>.proto -> <build>/generated/proto/<name>.pb-c.[ch], by protobuf-c's compiler; part of the
# library pando_proto, included as "proto/<name>.pb-c.h". Our warnings are not for generated code.
find_program(PANDO_PROTOC_C protoc-c)
if(NOT PANDO_PROTOC_C)
  message(FATAL_ERROR
    "protoc-c is missing: it compiles src/proto/*.proto. Debian's package is protobuf-c-compiler.")
endif()

set(PANDO_PROTO_DIR ${CMAKE_BINARY_DIR}/generated/proto)
file(MAKE_DIRECTORY ${PANDO_PROTO_DIR})
file(GLOB proto_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/proto/*.proto)
set(PANDO_PROTO_SOURCES)
set(proto_headers)
foreach(file IN LISTS proto_files)
  cmake_path(GET file STEM name)
  set(generated ${PANDO_PROTO_DIR}/${name}.pb-c.c)
  set(header ${PANDO_PROTO_DIR}/${name}.pb-c.h)
  add_custom_command(
    OUTPUT ${generated} ${header}
    COMMAND ${PANDO_PROTOC_C} --c_out=${PANDO_PROTO_DIR} -I ${CMAKE_CURRENT_SOURCE_DIR}/src/proto
      ${file}
    DEPENDS ${proto_files}
    COMMENT "Compiling ${name}.proto"
    VERBATIM)
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS -w)
  list(APPEND PANDO_PROTO_SOURCES ${generated} ${header})
  list(APPEND proto_headers ${header})
endforeach()
add_custom_target(proto_headers DEPENDS ${proto_headers})
