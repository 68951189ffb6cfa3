# What the configuration says about toolkits and compilers that cannot build tern: one line each, and
# the rest is built. Configures only, against programs that answer as others would.
#   cmake -DSOURCE=. -DROOM=build/configure -DCOMPILER=c++ -DGENERATOR=Ninja -P tests/configure/check.cmake
file(REMOVE_RECURSE ${ROOM})
file(MAKE_DIRECTORY ${ROOM}/bin)

function(write_program name text)
  file(WRITE ${ROOM}/bin/${name} "#!/bin/sh\n${text}\n")
  file(CHMOD ${ROOM}/bin/${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# expect(TREE PASS|FAIL TEXT ARGUMENT...)
function(expect tree outcome text)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${ROOM}/${tree} -G ${GENERATOR}
    -DTERN_APPS=OFF -DTERN_TESTS=OFF ${ARGN} OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE status)
  string(REGEX REPLACE "[ \n]+" " " line "${said}")
  string(FIND "${line}" "${text}" at)
  if(at EQUAL -1 OR (status EQUAL 0 AND outcome STREQUAL FAIL) OR (outcome STREQUAL PASS AND NOT status EQUAL 0))
    message(FATAL_ERROR "${ARGN}: expected ${outcome} and '${text}', got status ${status} and\n${said}")
  endif()
endfunction()

write_program(nvcc-12.4 "echo 'Cuda compilation tools, release 12.4, V12.4.131'")
write_program(nvcc-13.0 "echo 'Cuda compilation tools, release 13.0, V13.0.88'; [ $1 = --version ]")
write_program(nvcc-broken "echo 'nvcc: cannot execute'; exit 1")
set(old "found CUDA 12.4 at ${ROOM}/bin/nvcc-12.4, needs 13 or newer")
set(gcc -DCMAKE_CXX_COMPILER=${COMPILER})
expect(tree PASS "CUDA backend: left out: ${old}" ${gcc} -DTERN_NVCC=${ROOM}/bin/nvcc-12.4)
expect(tree PASS "CUDA backend: left out: TERN_CUDA=OFF" -DTERN_CUDA=OFF)
expect(tree FAIL "TERN_CUDA=ON: ${old}" -DTERN_CUDA=ON)
expect(tree FAIL "TERN_CUDA=ON: found no nvcc" -DTERN_NVCC=)
expect(tree PASS "left out: ${ROOM}/bin/nvcc-broken --version says no version (exit status 1)"
  -DTERN_CUDA=AUTO -DTERN_NVCC=${ROOM}/bin/nvcc-broken)
expect(tree PASS "left out: ${ROOM}/bin/nvcc-gone --version says no version"
  -DTERN_NVCC=${ROOM}/bin/nvcc-gone)
expect(tree PASS "left out: ${ROOM}/bin/nvcc-13.0 cannot compile" -DTERN_NVCC=${ROOM}/bin/nvcc-13.0)

write_program(g++-11 "exec ${COMPILER} -U__clang__ -U__GNUC__ -D__GNUC__=11 \"$@\"")
write_program(clang-14
  "exec ${COMPILER} -U__clang__ -D__clang__ -U__clang_major__ -D__clang_major__=14 -D__clang_minor__=0 -D__clang_patchlevel__=6 \"$@\"")
foreach(compiler g++-11 clang-14)
  expect(${compiler} FAIL "expected g++ 12 or newer, or clang 19 or newer"
    -DCMAKE_CXX_COMPILER=${ROOM}/bin/${compiler})
endforeach()
