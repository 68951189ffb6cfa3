// HDF5 files that hold more than tern reads, and damaged ones (fault row 40).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <functional>

#include "core/check.h"
#include "core/rng.h"
#include "data/io/hdf5.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;

// what read_structure says about a file made with HDF5 itself; the ids leak, which is harmless here
std::string complaint(const std::function<void(hid_t file)>& make) {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  make(file);
  H5Fclose(file);
  try {
    read_structure(File::open(path));
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input);
    EXPECT_THAT(e.what(), HasSubstr(path));
    return e.what();
  }
}

struct How {
  hid_t type = H5T_IEEE_F32LE;
  std::vector<hsize_t> shape = {8, 8};
  std::function<void(hid_t)> properties = [](hid_t p) {
    H5Pset_alloc_time(p, H5D_ALLOC_TIME_EARLY);
  };
};

void add(hid_t file, const How& how) {
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  how.properties(properties);
  const hid_t space = H5Screate_simple(int(how.shape.size()), how.shape.data(), nullptr);
  ASSERT_GE(H5Dcreate2(file, "x", how.type, space, H5P_DEFAULT, properties, H5P_DEFAULT), 0);
}

TEST(Fault40, PlainContiguousDatasetsAreRead) {
  EXPECT_EQ(complaint([](hid_t f) { add(f, {}); }), "");
  EXPECT_EQ(complaint([](hid_t f) { add(f, {.type = H5T_STD_U16LE, .shape = {5}}); }), "");
}

TEST(Fault40, LayoutsOtherThanContiguousAreRefused) {
  const hsize_t chunk[] = {4, 4};
  const auto with = [](std::function<void(hid_t)> properties) {
    return complaint([&](hid_t f) { add(f, {.properties = properties}); });
  };
  const std::string refusal = "dataset x: expected contiguous, uncompressed and in this file";
  EXPECT_THAT(with([&](hid_t p) { H5Pset_chunk(p, 2, chunk); }), HasSubstr(refusal));
  EXPECT_THAT(with([&](hid_t p) {
                H5Pset_chunk(p, 2, chunk);
                H5Pset_deflate(p, 9);
              }),
              HasSubstr(refusal));
  EXPECT_THAT(with([](hid_t p) { H5Pset_layout(p, H5D_COMPACT); }), HasSubstr(refusal));
  EXPECT_THAT(with([](hid_t p) { H5Pset_external(p, "/etc/passwd", 0, 256); }), HasSubstr(refusal));
  EXPECT_THAT(with([](hid_t p) { H5Pset_alloc_time(p, H5D_ALLOC_TIME_LATE); }),
              HasSubstr("do not lie within the file"));
}

TEST(Fault40, OtherElementTypesAreRefused) {
  for (const hid_t type : {H5T_IEEE_F32BE, H5T_STD_I16LE, H5T_STD_I64LE, H5T_C_S1})
    EXPECT_THAT(complaint([&](hid_t f) { add(f, {.type = type}); }),
                HasSubstr("dataset x: expected little-endian"));
}

TEST(Fault40, LinksAndGroupsAreRefused) {
  EXPECT_THAT(complaint([](hid_t f) {
                H5Lcreate_external("/etc/passwd", "/", f, "x", H5P_DEFAULT, H5P_DEFAULT);
              }),
              HasSubstr("a soft or external link"));
  EXPECT_THAT(complaint([](hid_t f) { H5Lcreate_soft("/x", f, "x", H5P_DEFAULT, H5P_DEFAULT); }),
              HasSubstr("a soft or external link"));
  EXPECT_THAT(complaint([](hid_t f) { H5Gcreate2(f, "x", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT); }),
              HasSubstr("dataset x: expected a dataset"));
  EXPECT_THAT(complaint([](hid_t f) {
                add(f, {});
                H5Lcreate_hard(f, "x", f, "y", H5P_DEFAULT, H5P_DEFAULT);
              }),
              HasSubstr("datasets x and y overlap"));
}

TEST(Fault40, AttributesOfOtherKindsAreRefused) {
  const auto with = [](hid_t type, hid_t space) {
    return complaint([&](hid_t f) { H5Acreate2(f, "a", type, space, H5P_DEFAULT, H5P_DEFAULT); });
  };
  const hid_t variable = H5Tcopy(H5T_C_S1);
  H5Tset_size(variable, H5T_VARIABLE);
  const hid_t scalar = H5Screate(H5S_SCALAR);
  EXPECT_EQ(with(H5T_C_S1, scalar), "");
  EXPECT_THAT(with(variable, scalar), HasSubstr("one string of fixed length"));
  EXPECT_THAT(with(H5T_STD_I32LE, scalar), HasSubstr("one string of fixed length"));
  const hsize_t two = 2;
  EXPECT_THAT(with(H5T_C_S1, H5Screate_simple(1, &two, nullptr)),
              HasSubstr("one string of fixed length"));
}

// Damage is either noticed or harmless: no crash, and nothing outside the file.
TEST(Fault40, DamagedStructures) {
  const TemporaryDirectory directory;
  Structure structure{.datasets = {{"a", StoredType::f32, {7, 5}}, {"b", StoredType::bf16, {3}}},
                      .attributes = {{"note", "text"}}};
  File file = File::create(directory / "a.h5");
  write_structure(file, structure);
  std::string good(structure.file_bytes, '\0');
  file.pread_all(0, std::as_writable_bytes(std::span(good)));
  int refused = 0;
  for (std::uint64_t i = 0, used = 0; used < 400; ++i) {
    const std::uint64_t offset = Rng(9).bits(2 * i) % good.size();
    if (good[offset] == 0 && i % 16 != 0) continue;  // mostly where there is something
    ++used;
    const std::byte bad[] = {std::byte(good[offset] ^ (1 << Rng(9).bits(2 * i + 1) % 8))};
    file.pwrite_all(offset, bad);
    try {
      for (const Dataset& d : read_structure(file).datasets)
        EXPECT_LE(d.offset + d.bytes(), structure.file_bytes);
    } catch (const Error& e) {
      EXPECT_EQ(e.fault, Fault::input);
      ++refused;
    }
    file.pwrite_all(offset, std::as_bytes(std::span(good).subspan(offset, 1)));
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace tern
