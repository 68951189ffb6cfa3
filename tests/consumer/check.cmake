# Installs the build tree, moves what was installed, and lets another project use it.
#   cmake -DSOURCE=. -DBUILD=build -DCOMPILER=c++ -DGENERATOR=Ninja -P tests/consumer/check.cmake
set(room ${BUILD}/consumer)
file(REMOVE_RECURSE ${room})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${room}/installed)
file(RENAME ${room}/installed ${room}/moved)

execute_process(COMMAND grep -rlF -e ${SOURCE} -e ${room}/installed ${room}/moved
  OUTPUT_VARIABLE leaks)
if(leaks)
  message(FATAL_ERROR "expected no path of this machine in installed files, found some in:\n${leaks}")
endif()

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/consumer -B ${room}/build -G ${GENERATOR}
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${room}/moved)
run(${CMAKE_COMMAND} --build ${room}/build)
run(${room}/build/consumer)
if(EXISTS ${room}/moved/bin/tern)
  set(tern ${room}/moved/bin/tern)
  set(text ${SOURCE}/configs/demo/tinyshakespeare.txt)
  run(${tern} golden ${SOURCE}/tests/golden/tiny_no_lower_bound.safetensors)
  run(${tern} tokenizer train --vocab-size 400 --out ${room}/tok.model ${text})
  run(${tern} prepare --tokenizer ${room}/tok.model --out ${room}/tokens --validation 0.1 ${text})
  file(MAKE_DIRECTORY ${room}/checkpoints)
  run(${room}/build/own_program ${room}/tokens ${room}/checkpoints)
endif()
