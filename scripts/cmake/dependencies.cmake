# Where the libraries around tern come from: Debian packages, or anything under CMAKE_PREFIX_PATH.
include(data_dependencies)
find_path(TOML_INCLUDE toml++/toml.h REQUIRED)
find_path(CLI11_INCLUDE CLI/CLI.hpp REQUIRED)

add_library(tern_dependencies_apps INTERFACE)
target_include_directories(tern_dependencies_apps SYSTEM INTERFACE ${CLI11_INCLUDE} ${TOML_INCLUDE})
target_link_libraries(tern_dependencies_apps INTERFACE tern_dependencies_data)
