# find_package(tern): tern::core, tern::autograd, tern::layers, tern::optim, and, where tern was built
# with them, tern::data and tern::runtime. All static.
include(CMakeFindDependencyMacro)
find_dependency(OpenMP COMPONENTS CXX)
if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/data_dependencies.cmake)
  include(${CMAKE_CURRENT_LIST_DIR}/data_dependencies.cmake)
  add_library(tern::data_dependencies ALIAS tern_dependencies_data)
endif()
include(${CMAKE_CURRENT_LIST_DIR}/tern-targets.cmake)
