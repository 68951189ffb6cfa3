# Compilers that are too old are refused here, not by pages of errors later.
function(tern_check_compiler)
  set(oldest_GNU 12)
  set(oldest_Clang 19)
  set(oldest ${oldest_${CMAKE_CXX_COMPILER_ID}})
  set(found "${CMAKE_CXX_COMPILER} is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  if(NOT oldest)
    message(STATUS "${found}: untested; tested are g++ from 12 on and clang from 19 on")
  elseif(CMAKE_CXX_COMPILER_VERSION VERSION_LESS oldest)
    message(FATAL_ERROR
      "${found}, expected g++ 12 or newer, or clang 19 or newer: set -DCMAKE_CXX_COMPILER=g++")
  endif()
endfunction()
tern_check_compiler()
