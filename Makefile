# The front door.
#   make train   a small model learns English, in ten to twenty minutes with the build; results in runs/demo
#   make test    every test; those that need a GPU are left out where there is none
#   make test-python   the exported PyTorch model in transformers 4 and 5; installs 7 GB outside the clone once
#   make fuzz    what is read from files and from other ranks, fuzzed with clang 19 under sanitizers for FUZZ_SECONDS=60 each
#   make test-aarch64   the core's tests for AArch64, cross-compiled, in QEMU's emulation
#   make rtl   the accelerator's SystemVerilog against its specification, in Verilator, tern rtl run, and proofs; in the build of make test
#   make test-gpu, make sanitize-gpu   the GPU's tests alone; the same under compute-sanitizer
# All install missing Debian packages first. PREFIX=DIR: build against libraries in DIR, as any
# user and without apt. CMAKE_ARGS: for the configuration, for instance -DTERN_MARCH=x86-64-v3.
BUILD ?= build
CLANG_FORMAT ?= clang-format-14
FUZZ_SECONDS ?= 60
SOURCES = $(shell find core autograd layers optim data distributed runtime cuda rtl apps tests \
  -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
export PREFIX

.PHONY: train test test-python test-aarch64 rtl test-gpu sanitize-gpu fuzz build packages format format-check clean

train: build
	@scripts/demo.sh $(BUILD)

test: build
	@scripts/test.sh $(BUILD)

test-python: build
	@scripts/test_python.sh $(BUILD)

test-aarch64:
	scripts/install_packages.sh g++-aarch64-linux-gnu qemu-user googletest
	scripts/test_aarch64.sh $(CMAKE_ARGS)

rtl: packages
	scripts/install_packages.sh verilator yosys z3
	scripts/test_rtl.sh $(BUILD) $(CMAKE_ARGS)

# where there is an NVIDIA GPU; elsewhere every case is skipped by name
test-gpu: build
	ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -L cuda

sanitize-gpu: build
	scripts/sanitize_gpu.sh $(BUILD)

fuzz:
	scripts/install_packages.sh clang-19 libclang-rt-19-dev libomp-19-dev
	scripts/fuzz.sh $(FUZZ_SECONDS)

build: packages
	scripts/build.sh $(BUILD) $(CMAKE_ARGS)

packages:
	scripts/install_packages.sh

format:
	@$(CLANG_FORMAT) -i $(SOURCES)

format-check:
	@$(CLANG_FORMAT) --dry-run --Werror $(SOURCES)

clean:
	rm -rf $(BUILD) build-sanitize build-fuzz build-aarch64
