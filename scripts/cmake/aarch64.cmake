# Builds the core and its tests for AArch64 with Debian's cross compiler; they run in QEMU's emulation.
#   cmake -S . -B build-aarch64 -G Ninja -DCMAKE_BUILD_TYPE=Release -DTERN_APPS=OFF -DTERN_CUDA=OFF \
#     --toolchain scripts/cmake/aarch64.cmake
# TERN_APPS=ON needs the libraries of scripts/packages.txt for AArch64.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)  # of GoogleTest
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(root /usr/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;${root})
# libraries of this machine are not taken; headers and CMake files of Eigen fit every machine
set(CMAKE_FIND_ROOT_PATH ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
