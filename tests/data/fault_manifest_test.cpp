// Manifests that are damaged, hostile or from the future (fault row 24).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/check.h"
#include "data/checkpoint/manifest.h"
#include "data/io/hash.h"

namespace tern {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kHash(32, 'a');

Manifest example() {
  return {.version = "0.1.0",
          .step = 1000,
          .tokens = 4096,
          .parameters = 12,
          .config = {{"a", 1.5}},
          .state = {{"next_sample", 77}},
          .files = {{"rank-000-part-00.h5", 9000, kHash}, {"rank-000-part-01.h5", 9000, kHash}},
          .tensors = {{"w",
                       StoredType::f32,
                       {3, 4},
                       {{"rank-000-part-00.h5", 4096, 32, 0, 2, kHash},
                        {"rank-000-part-01.h5", 4096, 16, 2, 1, kHash}}},
                      {"s", StoredType::f64, {}, {{"rank-000-part-01.h5", 0, 8, 0, 1, kHash}}}}};
}

std::string complaint(const std::string& text) {
  try {
    parse_manifest(text, "manifest.json");
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.fault, Fault::input) << e.what();
    EXPECT_THAT(e.what(), HasSubstr("manifest.json"));
    return e.what();
  }
}

// any JSON, sealed with a right hash as the writer does it
std::string sealed(json object) {
  object.erase("hash");
  std::string text = object.dump(1);
  text.resize(text.size() - 2);
  const std::string hash = hash_hex(std::as_bytes(std::span(text)));
  return text + ",\n \"hash\": \"" + hash + "\"\n}\n";
}

std::string changed(const std::function<void(json&)>& change) {
  json object = json::parse(to_text(example()));
  change(object);
  return complaint(sealed(object));
}

TEST(Manifest, RoundTrip) {
  const Manifest m = parse_manifest(to_text(example()), "manifest.json");
  EXPECT_EQ(to_text(m), to_text(example()));
  EXPECT_EQ(m.state, example().state);
  EXPECT_EQ(changed([](json&) {}), "");
}

TEST(Fault24, EveryFlippedBitOfAManifestIsNoticed) {
  const std::string good = to_text(example());
  for (std::size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ (1 << bit));
      EXPECT_NE(complaint(bad), "") << "byte " << i << " bit " << bit;
    }
}

TEST(Fault24, EveryTruncationIsNoticed) {
  const std::string good = to_text(example());
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_NE(complaint(good.substr(0, n)), "") << n;
  EXPECT_NE(complaint(good + " "), "");
}

TEST(Fault24, MissingKeysAreNamed) {
  const json good = json::parse(to_text(example()));
  for (const auto& [key, value] : good.items())
    if (key != "hash") {
      EXPECT_THAT(changed([&key](json& m) { m.erase(key); }),
                  HasSubstr("the key \"" + key + "\" is missing"));
    }
  for (const auto& [key, value] : good["tensors"][0]["pieces"][0].items())
    EXPECT_THAT(changed([&key](json& m) { m["tensors"][0]["pieces"][0].erase(key); }),
                HasSubstr("tensor w: the key \"" + key + "\" is missing"));
}

TEST(Fault24, ANewerFormatSaysSo) {
  EXPECT_THAT(changed([](json& m) { m["format"] = 2; }), HasSubstr("made by a newer release"));
  EXPECT_THAT(changed([](json& m) { m["format"] = 0; }), HasSubstr("unknown format 0"));
}

TEST(Fault24, NumbersMustBeWholeAndBounded) {
  for (const json& bad : {json(-1), json(1.0), json("1"), json(nullptr), json(1ull << 60),
                          json(true), json(json::array())})
    EXPECT_THAT(changed([&](json& m) { m["step"] = bad; }), HasSubstr("step: expected a whole"));
}

TEST(Fault24, OnlyPlainFileNames) {
  for (const char* name : {"../x.h5", "/etc/passwd", "a/b", "", ".", ".hidden", "a\nb", "a b"})
    EXPECT_THAT(changed([&](json& m) { m["files"][0]["name"] = name; }),
                HasSubstr("expected a plain file name"));
}

TEST(Fault24, PiecesMustCoverTheTensorOnceWithinTheFile) {
  const auto piece = [](int i, const char* key, std::uint64_t value) {
    return changed([=](json& m) { m["tensors"][0]["pieces"][i][key] = value; });
  };
  EXPECT_THAT(piece(1, "first_row", 1), HasSubstr("tensor w: expected its pieces to cover"));
  EXPECT_THAT(piece(0, "rows", 3), HasSubstr("tensor w: expected its pieces to cover"));
  EXPECT_THAT(piece(0, "rows", 1ull << 53), HasSubstr("tensor w: expected its pieces to cover"));
  EXPECT_THAT(piece(0, "bytes", 31), HasSubstr("tensor w: expected its pieces to cover"));
  EXPECT_THAT(piece(0, "offset", 8969), HasSubstr("tensor w: rows from 0 do not lie within"));
  EXPECT_THAT(piece(0, "bytes", 1ull << 53), HasSubstr("do not lie within"));
  EXPECT_THAT(changed([](json& m) { m["tensors"][0]["pieces"].erase(1); }),
              HasSubstr("its pieces hold 2 of 3 rows"));
  EXPECT_THAT(changed([](json& m) { m["tensors"][0]["pieces"] = json::array(); }),
              HasSubstr("its pieces hold 0 of 3 rows"));
  EXPECT_THAT(changed([](json& m) { m["tensors"][0]["pieces"][0]["file"] = "other.h5"; }),
              HasSubstr("its file is not listed"));
  EXPECT_THAT(changed([](json& m) {
                m["tensors"][0]["shape"] = {1ull << 40, 1ull << 40};
              }),
              HasSubstr("overflows"));
  EXPECT_THAT(changed([](json& m) { m["tensors"][1]["name"] = "w"; }),
              HasSubstr("tensor w is listed twice"));
  EXPECT_THAT(changed([](json& m) { m["tensors"][0]["dtype"] = "f33"; }),
              HasSubstr("unknown element type \"f33\""));
}

TEST(Fault24, HostileJson) {
  EXPECT_THAT(complaint("{\"format\": 1, \"format\": 1}"), HasSubstr("is given twice"));
  EXPECT_THAT(complaint(std::string(100000, '[')), HasSubstr("nesting"));
  EXPECT_THAT(complaint("[1, 2]"), HasSubstr("expected an object"));
  EXPECT_THAT(complaint(to_text(example()) + '\0'), HasSubstr("NUL"));
  EXPECT_NE(complaint("{\"a\": \"\xff\"}"), "");
  EXPECT_NE(complaint("{\"a\": NaN}"), "");
}

}  // namespace
}  // namespace tern
