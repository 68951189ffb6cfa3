# What `cmake --install` lays down. The build tree has the same bin/ and lib/, so what is tested is
# what is installed, and an installed tree can be moved.
#   bin/tern   lib/libtern_*.a   lib/libsentencepiece*.so*, libgomp.so*   include/tern/FOLDER/*.h
#   lib/libtern_cuda.so and share/tern/algorithms.txt, which it looks for there, where nvcc was found
#   lib/libtern_rtl_sim.so with TERN_RTL=ON
#   share/man/man1/tern.1   share/bash-completion/completions/tern
#   lib/cmake/tern: find_package(tern) with tern::core, autograd, layers, optim, data, runtime
include(CMakePackageConfigHelpers)
set(package_directory lib/cmake/tern)

set(exported core autograd layers optim)
if(TERN_APPS)
  list(APPEND exported data runtime)
  install(FILES scripts/cmake/data_dependencies.cmake DESTINATION ${package_directory})
endif()
list(TRANSFORM exported PREPEND tern_ OUTPUT_VARIABLE targets)
install(TARGETS ${targets} EXPORT tern-targets ARCHIVE DESTINATION lib)
install(EXPORT tern-targets NAMESPACE tern:: DESTINATION ${package_directory})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/tern-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES scripts/cmake/tern-config.cmake ${PROJECT_BINARY_DIR}/tern-config-version.cmake
  DESTINATION ${package_directory})

# The CPU kernels' own headers stay inside: the others need nothing but the standard library.
install(DIRECTORY ${exported} DESTINATION include/tern
  FILES_MATCHING PATTERN "*.h" PATTERN cpu EXCLUDE)
install(FILES core/cpu/cpu_backend.h DESTINATION include/tern/core/cpu)

if(TERN_APPS)
  set(libraries ${SENTENCEPIECE_LIBRARY} ${SENTENCEPIECE_TRAIN_LIBRARY})
  foreach(name ${OpenMP_CXX_LIB_NAMES})  # gomp; omp of clang
    list(APPEND libraries ${OpenMP_${name}_LIBRARY})
  endforeach()
  list(FILTER libraries INCLUDE REGEX "\\.so")
  foreach(library ${libraries})
    file(COPY ${library} DESTINATION ${PROJECT_BINARY_DIR}/lib FOLLOW_SYMLINK_CHAIN)
  endforeach()
  install(TARGETS tern RUNTIME DESTINATION bin)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/share/man ${PROJECT_BINARY_DIR}/share/bash-completion
    DESTINATION share)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/lib/ DESTINATION lib FILES_MATCHING PATTERN "*.so.*")
endif()
