#include "data/io/hdf5.h"

#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Structure example() {
  return {.datasets = {{"model.weight", StoredType::f32, {3, 5}},
                       {"empty", StoredType::i8, {0, 7}},
                       {"scalar", StoredType::f64, {}},
                       {"half", StoredType::bf16, {11}},
                       {"odd", StoredType::u8, {1237}},
                       {"ids", StoredType::u16, {70000}}},
          .attributes = {{"step", "17"}, {"note", ""}}};
}

TEST(StoredType, OneSizeInEveryFormat) {
  EXPECT_NE(hdf5_version(), "");  // sets the library up
  EXPECT_EQ(sizeof(hid_t), sizeof(std::int64_t));
  for (std::size_t i = 0; i < kStoredTypes; ++i) {
    const StoredTypeInfo& t = info_of(StoredType(i));
    if (t.hdf5) {
      EXPECT_EQ(H5Tget_size(t.hdf5()), t.bytes) << t.name;
      EXPECT_EQ(stored_type(t.name, "here"), StoredType(i));
    } else {
      EXPECT_THROW(stored_type(t.name, "here"), Error) << t.name;
    }
    if (!t.npy.empty()) {
      EXPECT_EQ(t.npy.substr(2), std::to_string(t.bytes)) << t.name;
    }
  }
  for (const DType t : {DType::f64, DType::f32, DType::bf16, DType::i32, DType::i8}) {
    EXPECT_EQ(name_of(stored_type(t)), name_of(t));
    EXPECT_EQ(item_bytes(stored_type(t)) * 8, std::size_t(bits(t)));
  }
  EXPECT_THROW(stored_type(DType::e4m3), Error);
}

TEST(Hdf5, StructureRoundTrip) {
  const TemporaryDirectory scratch;
  Structure written = example();
  {
    File file = File::create(scratch.path() / "a.h5");
    write_structure(file, written);
    for (const Dataset& d : written.datasets)
      file.pwrite_all(d.offset, bytes_of(std::string(d.bytes(), d.name[0])));
  }
  const File file = File::open(scratch.path() / "a.h5");
  const Structure read = read_structure(file);
  EXPECT_EQ(read.attributes, written.attributes);
  EXPECT_EQ(read.file_bytes, written.file_bytes);
  ASSERT_EQ(read.datasets.size(), written.datasets.size());
  for (const Dataset& w : written.datasets) {
    const auto r = std::find_if(read.datasets.begin(), read.datasets.end(),
                                [&](const Dataset& d) { return d.name == w.name; });
    ASSERT_NE(r, read.datasets.end()) << w.name;
    EXPECT_EQ(r->shape, w.shape);
    EXPECT_EQ(r->type, w.type);
    EXPECT_EQ(r->offset, w.offset);
    EXPECT_EQ(r->offset % 4096, 0u);
    std::string content(r->bytes(), '?');
    file.pread_all(r->offset, std::as_writable_bytes(std::span(content)));
    EXPECT_EQ(content, std::string(r->bytes(), w.name[0]));
  }
}

TEST(Hdf5, DatasetsAndTheRestCoverTheFileExactlyOnce) {
  const TemporaryDirectory scratch;
  Structure s = example();
  File file = File::create(scratch.path() / "a.h5");
  write_structure(file, s);
  std::vector<Extent> extents;
  std::uint64_t total = 0;
  for (const Dataset& d : s.datasets) extents.push_back({d.offset, d.bytes()});
  for (const Extent& e : uncovered(extents, s.file_bytes)) total += e.bytes;
  for (const Extent& e : extents) total += e.bytes;
  EXPECT_EQ(total, file.size());
}

TEST(Hdf5, SameStructureSameBytes) {
  const TemporaryDirectory scratch;
  std::string files[2];
  for (std::string& content : files) {
    const auto path = scratch.path() / std::to_string(&content - files);
    Structure s = example();
    {
      File file = File::create(path);
      write_structure(file, s);
    }
    content = read_file(path, s.file_bytes);
    ::usleep(1'100'000 * (&content == files));  // HDF5 keeps times in seconds
  }
  EXPECT_EQ(files[0], files[1]);
}

TEST(Hdf5, ManyDatasets) {
  const TemporaryDirectory scratch;
  Structure s;
  for (int i = 0; i < 1200; ++i)
    s.datasets.push_back({"model.layers." + std::to_string(i) + ".weight", StoredType::f32, {4}});
  File file = File::create(scratch.path() / "a.h5");
  write_structure(file, s);
  EXPECT_EQ(read_structure(file).datasets.size(), 1200u);
}

TEST(Hdf5, DamageIsAnInputErrorNamingTheFile) {
  const TemporaryDirectory scratch;
  Structure s = example();
  File file = File::create(scratch.path() / "a.h5");
  write_structure(file, s);
  for (const std::uint64_t size : {s.file_bytes - 1, s.file_bytes / 2, std::uint64_t(0)}) {
    file.resize(size);
    try {
      read_structure(file);
      FAIL() << "expected an error at " << size << " B";
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input);
      EXPECT_NE(std::string(e.what()).find("a.h5"), std::string::npos) << e.what();
    }
  }
}

TEST(Dataset, OverflowingShapeIsRefused) {
  const Dataset d{"big", StoredType::f32, {1ull << 40, 1ull << 40}};
  EXPECT_THROW(d.bytes(), Error);
  EXPECT_EQ((Dataset{"none", StoredType::f32, {0, ~0ull, ~0ull}}.bytes()), 0u);
}

}  // namespace
}  // namespace tern
