# find_package(tern): tern::core, tern::autograd, tern::layers, all static.
include(CMakeFindDependencyMacro)
find_dependency(OpenMP COMPONENTS CXX)
include(${CMAKE_CURRENT_LIST_DIR}/tern-targets.cmake)
