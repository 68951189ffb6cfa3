// Small tensors to save, and what the checkpoint tests do again and again.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/checkpoint/checkpoint.h"
#include "data/checkpoint/writer.h"
#include "tests/support/temporary_directory.h"

namespace tern {

class Tensors {
 public:
  // finite random floats, or random bits
  void add(const std::string& name, StoredType type, std::vector<std::uint64_t> shape) {
    TensorBytes t{name, type, std::move(shape), {}};
    std::string content(Dataset{name, type, t.shape}.bytes(), '\0');
    const Rng rng(1, stream_of(name));
    for (std::size_t i = 0; i < content.size(); i += 8) {
      const std::uint64_t bits = rng.bits(i / 8) & 0x3f3f3f3f3f3f3f3f;
      std::memcpy(&content[i], &bits, std::min<std::size_t>(8, content.size() - i));
    }
    contents_[name] = std::move(content);
    order_.push_back(std::move(t));
  }

  void clobber() {
    for (auto& [name, content] : contents_)
      for (char& c : content) c = char((c + 1) & 0x3f);
  }

  std::vector<TensorBytes> views() const {
    std::vector<TensorBytes> views = order_;
    for (TensorBytes& t : views) t.bytes = std::as_bytes(std::span(contents_.at(t.name)));
    return views;
  }

  std::string& content(const std::string& name) { return contents_.at(name); }
  const std::string& content(const std::string& name) const { return contents_.at(name); }

 private:
  std::vector<TensorBytes> order_;
  std::map<std::string, std::string> contents_;
};

inline Tensors all_kinds() {
  Tensors t;
  t.add("f32", StoredType::f32, {17, 31});
  t.add("f64", StoredType::f64, {5});
  t.add("bf16", StoredType::bf16, {3, 3, 3});
  t.add("i32", StoredType::i32, {1});
  t.add("i8", StoredType::i8, {1237});
  t.add("u64", StoredType::u64, {});
  t.add("u32", StoredType::u32, {2, 1, 2, 1});
  t.add("u16", StoredType::u16, {70001});
  t.add("u8", StoredType::u8, {1, 1500000});
  t.add("empty", StoredType::f32, {0});
  t.add("no.columns", StoredType::f32, {4, 0});
  t.add("rows", StoredType::f32, {3000, 211});
  return t;
}

inline CheckpointFacts facts(std::uint64_t step) {
  return {.step = step,
          .tokens = step * 2048,
          .parameters = 527,
          .config = {{"model", {{"d_model", 512}, {"rate", 0.1}}}},
          .state = {{"next_sample", step * 8}, {"loss", 1.0 / 3}}};
}

inline std::string contents(const Checkpoint& checkpoint, const std::string& name) {
  std::string content(checkpoint.find(name)->bytes(), '?');
  checkpoint.read(name, std::as_writable_bytes(std::span(content)));
  return content;
}

}  // namespace tern
