// Rows 32 to 36, 38 and 39: broken .safetensors files, folders of them, and files that change while
// they are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/io/safetensors_folder.h"
#include "tests/support/complaint.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string with_length(std::uint64_t length, const std::string& rest) {
  return std::string(reinterpret_cast<const char*>(&length), 8) + rest;
}

// a file of this header and so many bytes of tensors
std::string file_of(const std::string& header, std::size_t data = 0) {
  return with_length(header.size(), header + std::string(data, 'x'));
}

class SafetensorsFault : public testing::Test {
 protected:
  std::string refusal(const std::string& bytes) const {
    write_text(room_ / "m.safetensors", bytes);
    const std::string text = complaint([&] { SafetensorsFile::open(room_ / "m.safetensors"); });
    EXPECT_TRUE(text.empty() || text.find("m.safetensors") != text.npos) << text;
    EXPECT_EQ(text.find('\n'), text.npos) << text;
    return text;
  }
  // of a file with one tensor "t" of 8 bytes of data
  std::string refused_entry(const std::string& entry, std::size_t data = 8) const {
    return refusal(file_of("{\"t\":" + entry + "}", data));
  }
  TemporaryDirectory room_;
};

using Fault32 = SafetensorsFault;
using Fault33 = SafetensorsFault;
using Fault34 = SafetensorsFault;
using Fault35 = SafetensorsFault;
using Fault36 = SafetensorsFault;

TEST_F(Fault32, ALengthThatIsNotThereOrDoesNotFitIsRefusedBeforeItIsAllocated) {
  EXPECT_THAT(refusal(""), HasSubstr("got 0 B"));
  EXPECT_THAT(refusal("x"), HasSubstr("got 1 B"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("got 7 B"));
  for (const std::uint64_t length :
       {std::uint64_t(3), std::uint64_t(1) << 63, ~std::uint64_t(0), std::uint64_t(100'000'001)})
    EXPECT_THAT(refusal(with_length(length, "{}")), HasSubstr("does not fit the file of 10 B"));
  EXPECT_THAT(refusal(with_length(0, "")), HasSubstr("not valid JSON"));
}

TEST_F(Fault33, AHeaderThatIsNotStrictJsonIsRefused) {
  EXPECT_THAT(refusal(file_of("{\"\xff\":1}")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(file_of("hello")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(file_of("{}" + std::string(6, '\0'))), HasSubstr("NUL"));
  const std::string t = "\"t\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  EXPECT_THAT(refusal(file_of("{" + t + "," + t + "}")), HasSubstr("twice"));
  EXPECT_THAT(refusal(file_of("[1]")), HasSubstr("expected a JSON object"));
  EXPECT_THAT(refusal(file_of(std::string(5000, '[') + std::string(5000, ']'))),
              HasSubstr("nesting"));
  EXPECT_EQ(refusal(file_of("  {" + t + "}  ")), "");  // spaces are allowed
  EXPECT_EQ(refusal(file_of("{}")), "");
}

TEST_F(Fault33, MetadataIsTexts) {
  EXPECT_THAT(refusal(file_of("{\"__metadata__\":7}")), HasSubstr("expected an object"));
  EXPECT_THAT(refusal(file_of("{\"__metadata__\":{\"a\":1}}")), HasSubstr("expected texts"));
  EXPECT_EQ(refusal(file_of("{\"__metadata__\":{\"a\":\"1\"}}")), "");
}

TEST_F(Fault33, NamesOfTensorsHaveNoControlCharacters) {
  const std::string e = ":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}";
  EXPECT_THAT(refusal(file_of("{\"a\\u001b[2J\"" + e)), HasSubstr("control characters"));
  EXPECT_THAT(refusal(file_of("{\"\"" + e)), HasSubstr("1 to 512 B"));
  EXPECT_THAT(refusal(file_of("{\"" + std::string(600, 'n') + '"' + e)), HasSubstr("1 to 512 B"));
  EXPECT_EQ(refusal(file_of("{\"caf\xc3\xa9\"" + e)), "");
}

TEST_F(Fault34, OffsetsThatOverlapLeaveGapsOrAreNoNumbersNameTheTensor) {
  const auto two = [&](const std::string& a, const std::string& b, std::size_t data) {
    return refusal(file_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" + a +
                               "},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" + b +
                               "}}",
                           data));
  };
  EXPECT_EQ(two("[0,8]", "[8,12]", 12), "");
  EXPECT_EQ(two("[4,12]", "[0,4]", 12), "");
  EXPECT_THAT(two("[0,8]", "[4,8]", 12), AllOf(HasSubstr("'b'"), HasSubstr("overlaps tensor 'a'")));
  EXPECT_THAT(two("[0,8]", "[12,16]", 16), AllOf(HasSubstr("'b'"), HasSubstr("gap")));
  EXPECT_THAT(two("[4,12]", "[12,16]", 16), AllOf(HasSubstr("'a'"), HasSubstr("the header")));
  EXPECT_THAT(two("[0,8]", "[8,12]", 13), AllOf(HasSubstr("'b'"), HasSubstr("end")));
  EXPECT_THAT(two("[0,8]", "[8,12]", 11), HasSubstr("'b'"));
  for (const char* offsets : {"[8,0]", "[-1,7]", "[0.0,8.0]", "[\"0\",\"8\"]", "[0]", "[0,8,8]",
                              "[0,18446744073709551615]", "[0,99999999999999999999]", "{}", "null"})
    EXPECT_THAT(refused_entry("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" +
                              std::string(offsets) + "}"),
                HasSubstr("'t'"))
        << offsets;
}

TEST_F(Fault35, ShapesThatOverflowOrAreTooDeepAreRefusedScalarsAndEmptyOnesAreNot) {
  const auto shape = [&](const std::string& dims, const std::string& end, std::size_t data) {
    return refused_entry(
        "{\"dtype\":\"F32\",\"shape\":" + dims + ",\"data_offsets\":[0," + end + "]}", data);
  };
  EXPECT_EQ(shape("[]", "4", 4), "");
  EXPECT_EQ(shape("[3,0,5]", "0", 0), "");
  EXPECT_EQ(shape("[1,1,1,1,1,1,1,2]", "8", 8), "");
  EXPECT_THAT(shape("[1,1,1,1,1,1,1,1,2]", "8", 8), AllOf(HasSubstr("'t'"), HasSubstr("rank")));
  EXPECT_THAT(shape("[4294967296,4294967296]", "0", 0), HasSubstr("'t'"));
  EXPECT_THAT(shape("[2147483648,2147483648,2147483648]", "0", 0), HasSubstr("'t'"));
  EXPECT_THAT(shape("[18446744073709551615]", "8", 8), HasSubstr("'t'"));
  EXPECT_THAT(shape("[-2]", "8", 8), HasSubstr("'t'"));
  EXPECT_THAT(shape("[2.0]", "8", 8), HasSubstr("'t'"));
  EXPECT_THAT(refused_entry("{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}"),
              AllOf(HasSubstr("'t'"), HasSubstr("F33")));
  EXPECT_THAT(refused_entry("{\"dtype\":5,\"shape\":[2],\"data_offsets\":[0,8]}"),
              HasSubstr("'t'"));
}

TEST_F(Fault36, AShapeThatIsNotTheBytesIsRefused) {
  EXPECT_EQ(refused_entry("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"), "");
  EXPECT_THAT(refused_entry("{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}"),
              AllOf(HasSubstr("'t'"), HasSubstr("expected 12 B")));
  EXPECT_THAT(refused_entry("{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,8]}"),
              AllOf(HasSubstr("'t'"), HasSubstr("expected 4 B")));
}

// --- folders ---

class Fault38 : public testing::Test {
 protected:
  void write(const std::string& name, const std::vector<std::string>& tensors) const {
    std::string header;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      header += (i ? ",\"" : "\"") + tensors[i] + "\":{\"dtype\":\"U8\",\"shape\":[1]," +
                "\"data_offsets\":[" + std::to_string(i) + "," + std::to_string(i + 1) + "]}";
    write_text(room_ / name, file_of("{" + header + "}", tensors.size()));
  }
  void index(const std::string& map) const {
    write_text(room_ / kSafetensorsIndexName, "{\"metadata\":{},\"weight_map\":" + map + "}");
  }
  std::string refusal() const {
    return complaint([&] { SafetensorsFolder::open(room_.path()); });
  }
  TemporaryDirectory room_;
};

TEST_F(Fault38, PathsOutOfTheFolderAreRefused) {
  write("a.safetensors", {"t"});
  for (const char* path :
       {"../../etc/passwd", "/etc/passwd", "../x.safetensors", "./a.safetensors", "a/b.safetensors",
        "/a.safetensors", ".a.safetensors", "", "passwd", "a.bin"}) {
    index(std::string("{\"t\":\"") + path + "\"}");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("index.json"), HasSubstr("\"t\""))) << path;
  }
  index("{\"t\":7}");
  EXPECT_THAT(refusal(), HasSubstr("got \"7\""));
  index("{\"t\":\"a.safetensors\"}");
  EXPECT_EQ(refusal(), "");
}

TEST_F(Fault38, WhatTheIndexSaysMustBeThere) {
  EXPECT_THAT(refusal(), AllOf(HasSubstr("model.safetensors"), HasSubstr("never read")));
  index("{\"t\":\"a.safetensors\"}");
  EXPECT_THAT(refusal(), HasSubstr("a.safetensors"));
  write("a.safetensors", {"u"});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'t'"), HasSubstr("a.safetensors")));
  write("b.safetensors", {"t"});
  index("{\"t\":\"b.safetensors\",\"u\":\"a.safetensors\"}");
  EXPECT_EQ(refusal(), "");
  write("b.safetensors", {"t", "u"});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'u'"), HasSubstr("too")));
  for (const char* bad : {"[]", "{\"weight_map\":[]}", "{\"weight_map\":{}}", "nonsense"}) {
    write_text(room_ / kSafetensorsIndexName, bad);
    EXPECT_THAT(refusal(), HasSubstr("index.json")) << bad;
  }
}

TEST_F(Fault38, AMillionFilesAreNotOpened) {
  std::string map = "{";
  for (int i = 0; i < 5000; ++i)
    map +=
        (i ? ",\"t" : "\"t") + std::to_string(i) + "\":\"s" + std::to_string(i) + ".safetensors\"";
  index(map + "}");
  EXPECT_THAT(refusal(), HasSubstr("at most 4096 files"));
  write_text(room_ / kSafetensorsIndexName, std::string(std::size_t(17) << 20, ' '));
  EXPECT_THAT(refusal(), HasSubstr("index.json"));
}

// --- files that change ---

class Fault39 : public testing::Test {
 protected:
  Fault39() { write_text(path_, content('a')); }
  static std::string content(char fill) {
    std::string bytes =
        file_of("{\"t\":{\"dtype\":\"U8\",\"shape\":[9000],\"data_offsets\":[0,9000]}}", 9000);
    for (std::size_t i = bytes.size() - 9000; i < bytes.size(); ++i) bytes[i] = fill;
    return bytes;
  }
  std::string read(const SafetensorsFile& file) const {
    std::vector<std::byte> bytes(9000);
    file.read(file.entry("t"), 0, bytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  TemporaryDirectory room_;
  const std::string path_ = room_ / "m.safetensors";
};

TEST_F(Fault39, AFileThatIsReplacedIsReadAsItWas) {
  const SafetensorsFile file = SafetensorsFile::open(path_);
  write_text(room_ / "new", content('b'));
  std::filesystem::rename(room_ / "new", path_);
  EXPECT_EQ(read(file), std::string(9000, 'a'));
  EXPECT_EQ(read(SafetensorsFile::open(path_)), std::string(9000, 'b'));
}

TEST_F(Fault39, AFileThatIsTruncatedOrRewrittenIsAnErrorNotASignal) {
  const SafetensorsFile file = SafetensorsFile::open(path_);
  std::filesystem::resize_file(path_, 500);
  EXPECT_THAT(complaint([&] { read(file); }), HasSubstr("m.safetensors"));
  write_text(path_, content('b'));
  EXPECT_THAT(complaint([&] { read(file); }), HasSubstr("changed while it was read"));
}

// --- what is written ---

TEST(Safetensors, WrittenFilesReadAsTheyWereGivenInAsManyShardsAsNeeded) {
  const std::vector<SafetensorsTensor> tensors = {{"b", StoredType::f32, {2, 3}},
                                                  {"a", StoredType::bf16, {5}},
                                                  {"scalar", StoredType::f32, {}},
                                                  {"none", StoredType::f32, {0, 4}},
                                                  {"large", StoredType::u8, {100}}};
  const auto bytes_of = [&](std::size_t i) {
    return std::string(tensors[i].bytes(), char('A' + int(i)));
  };
  for (const auto& [most, files] : {std::pair(1000u, 1u), std::pair(40u, 2u), std::pair(1u, 4u)}) {
    const TemporaryDirectory room;
    write_safetensors(room.path(), tensors, most, [&](std::size_t i, const AppendBytes& append) {
      const std::string bytes = bytes_of(i);
      append(std::as_bytes(std::span(bytes).first(bytes.size() / 2)));
      append(std::as_bytes(std::span(bytes).subspan(bytes.size() / 2)));
    });
    const SafetensorsFolder folder = SafetensorsFolder::open(room.path());
    ASSERT_EQ(folder.tensors().size(), tensors.size()) << most;
    std::set<std::filesystem::path> names;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const auto& [file, entry] = folder.tensors().at(tensors[i].name);
      names.insert(file->path());
      EXPECT_EQ(entry->type, tensors[i].type);
      EXPECT_EQ(entry->shape, tensors[i].shape);
      EXPECT_EQ(entry->offset % 2, 0u);
      EXPECT_EQ(file->header_bytes() % 64, 0u);
      EXPECT_EQ(file->metadata().at("format"), "pt");
      std::string read(entry->bytes, '\0');
      file->read(*entry, 0, std::as_writable_bytes(std::span(read)));
      EXPECT_EQ(read, bytes_of(i));
      EXPECT_EQ(file->metadata().at("format"), "pt");
    }
    EXPECT_EQ(names.size(), files) << most;
    EXPECT_EQ(std::filesystem::exists(room / kSafetensorsIndexName), files > 1);
    EXPECT_EQ(std::filesystem::exists(room / shard_name(0, files)), files > 1);
  }
}

}  // namespace
}  // namespace tern
