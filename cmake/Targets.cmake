# ofl_library(name DIR folder LINK targets...): static library ofl_<name> of the folder's sources.
set(OFL_WARNINGS -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers
    -Wno-restrict)  # GCC 12 warns falsely on string concatenation

add_library(ofl_options INTERFACE)
target_include_directories(ofl_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/gen)
target_compile_options(ofl_options INTERFACE ${OFL_WARNINGS})
if(OFL_SANITIZE)
  # The instrumentation misleads GCC's analysis of initialisation and ownership: its warnings, which
  # the plain build has checked, must not end this one.
  target_compile_options(ofl_options INTERFACE -fsanitize=${OFL_SANITIZE} -fno-omit-frame-pointer
                         -Wno-error -Wno-maybe-uninitialized -Wno-free-nonheap-object)
  target_link_options(ofl_options INTERFACE -fsanitize=${OFL_SANITIZE})
  target_compile_definitions(ofl_options INTERFACE OFL_SANITIZED=1)
endif()

function(ofl_library name)
  cmake_parse_arguments(ARG "" "DIR" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${ARG_DIR}/*.cc)
  file(GLOB_RECURSE protos CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${ARG_DIR}/*.proto)
  if(NOT sources AND NOT protos)
    add_library(ofl_${name} INTERFACE)
    target_link_libraries(ofl_${name} INTERFACE ofl_options ${ARG_LINK})
    return()
  endif()
  add_library(ofl_${name} STATIC ${sources} ${protos})
  if(protos)
    protobuf_generate(TARGET ofl_${name} LANGUAGE cpp IMPORT_DIRS ${PROJECT_SOURCE_DIR}
                      PROTOC_OUT_DIR ${PROJECT_BINARY_DIR}/gen)
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/gen)
  endif()
  target_link_libraries(ofl_${name} PUBLIC ofl_options ${ARG_LINK})
  if(name STREQUAL "ops")
    # Kernels: loops become vectors, integers wrap, nobody reads errno or the exception flags.
    target_compile_options(ofl_${name} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O3>
                           -fno-math-errno -fno-trapping-math -fwrapv)
    ofl_generate_op_list(ofl_${name} ${sources})
  endif()
endfunction()

# Writes the list of every OFL_OP(...) found in the sources, so that adding an operator is adding
# a file.
function(ofl_generate_op_list target)
  set(out ${PROJECT_BINARY_DIR}/gen/op_list.cc)
  add_custom_command(OUTPUT ${out}
    COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/generate_op_list.py ${out} ${ARGN}
    DEPENDS ${ARGN} ${PROJECT_SOURCE_DIR}/scripts/generate_op_list.py VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()

# The type stubs of the package, from the registry, installed into it.
function(ofl_generate_stub target)
  set(folder ${PROJECT_BINARY_DIR}/gen/stubs)
  set(out ${folder}/${target}/__init__.pyi)
  add_custom_command(OUTPUT ${out}
    COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/generate_stubs.py
            $<TARGET_FILE:${target}> ${folder}
    DEPENDS ${target} ${PROJECT_SOURCE_DIR}/scripts/generate_stubs.py VERBATIM)
  add_custom_target(${target}_stub ALL DEPENDS ${out})
  install(DIRECTORY ${folder}/ DESTINATION oneflow_like FILES_MATCHING PATTERN "*.pyi")
endfunction()
