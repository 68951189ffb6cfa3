// The structure of an HDF5 file.
#include "data/io/hdf5.h"

#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const std::filesystem::path path = room() / "a.h5";
  write(path, input);
  works({Fault::input}, [&] {
    const Structure structure = read_structure(File::open(path));
    for (const Dataset& d : structure.datasets)
      expect(d.offset <= input.size() && d.bytes() <= input.size() - d.offset,
             "a dataset lies outside of its file");
  });
}

}  // namespace tern::fuzz
