# Everything borrowed, found in one place. Versions and reasons: docs/dependencies.md.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")  # kernels ask for -O3 themselves
find_program(OFL_CCACHE ccache)
if(OFL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${OFL_CCACHE})
endif()
find_program(OFL_MOLD mold)
if(OFL_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

find_package(Threads REQUIRED)
find_package(Boost 1.81 CONFIG REQUIRED)
find_package(Protobuf 3.21 MODULE REQUIRED)
find_package(glog CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Eigen3 3.4 CONFIG REQUIRED)
find_package(Python 3.9 COMPONENTS Interpreter Development.Module REQUIRED)

# OpenBLAS comes as a pinned wheel (symbols prefixed scipy_), found through the interpreter.
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
          "import scipy_openblas32 as s; print(s.get_include_dir()); print(s.get_lib_dir())"
  OUTPUT_VARIABLE OFL_BLAS_DIRS OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE OFL_BLAS_MISSING)
if(OFL_BLAS_MISSING)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no package scipy-openblas32; "
                      "run ./scripts/quickstart, or pip install -r requirements-build.txt")
endif()
string(REPLACE "\n" ";" OFL_BLAS_DIRS "${OFL_BLAS_DIRS}")
list(GET OFL_BLAS_DIRS 0 OFL_BLAS_INCLUDE)
list(GET OFL_BLAS_DIRS 1 OFL_BLAS_LIB)
add_library(ofl::blas SHARED IMPORTED GLOBAL)
set_target_properties(ofl::blas PROPERTIES
  IMPORTED_LOCATION ${OFL_BLAS_LIB}/libscipy_openblas.so
  INTERFACE_INCLUDE_DIRECTORIES ${OFL_BLAS_INCLUDE})

# oneDNN serves convolutions where it is found; without it they are slower (ops/conv).
option(OFL_ONEDNN "Use oneDNN where it is installed" ON)
add_library(ofl_onednn INTERFACE)
if(OFL_ONEDNN)
  find_library(OFL_ONEDNN_LIBRARY dnnl)
  find_path(OFL_ONEDNN_INCLUDE oneapi/dnnl/dnnl.hpp)
  find_package(OpenMP COMPONENTS CXX)  # the library's loops: we set its threads to one
  if(OFL_ONEDNN_LIBRARY AND OFL_ONEDNN_INCLUDE AND OpenMP_CXX_FOUND)
    target_link_libraries(ofl_onednn INTERFACE ${OFL_ONEDNN_LIBRARY} ${OpenMP_CXX_LIBRARIES})
    target_include_directories(ofl_onednn INTERFACE ${OFL_ONEDNN_INCLUDE})
    set_source_files_properties(oneflow_like/ops/conv/onednn.cc PROPERTIES
      COMPILE_DEFINITIONS OFL_WITH_ONEDNN=1)
  else()
    message(STATUS "oneDNN not found: convolutions by plain products")
  endif()
endif()
