#include "rtl/model/program.h"

#include <sstream>

#include "rtl/model/assembler.h"

namespace tern::rtl {
namespace {

// Lines of assembly. Registers of the whole program:
//   v0 x; v1, v2, v3 sums of products; v4 h, later p; v5, v6 rows in between
//   p0 to p3 the next vectors of the record, in the order in which they are needed
//   s0 to s3 scalars of all layers, s4 to s12 those of a layer, which become the scales g of its
//   products; s13, s14 mean squares; s15 reciprocals and largest magnitudes
class Writer {
 public:
  Writer(const ImageSizes& sizes, const ImageLayout& layout)
      : sizes_(sizes),
        at_(layout),
        fraction_(sizes.fraction),
        shift_(sum_shift(sizes.width)),
        glu_shift_(sum_shift(sizes.glu_width)) {}

  std::vector<std::uint64_t> program() {
    begin();
    const std::size_t layer = words();
    mix_tokens();
    mix_channels();
    line("loop ", layer, ", passes=", sizes_.layers, ", step=1, stride=", at_.record.bytes);
    head();
    line("halt");
    return assemble(text_);
  }

 private:
  template <class... Parts>
  void line(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    text_ += out.str() + '\n';
    ++words_;
  }
  std::size_t words() const { return words_; }

  void load_norm(int p, std::uint32_t offset, int length = 0) {
    line("ldp p", p, ", n", length, ", layer, ", at_.layers + offset);
  }
  // g = max |v| inverse / root, in the scalar of the inverse
  void scale(int g) {
    line("smax s15");
    line("smul s", g, ", s15, s", g);
  }
  void divide_by_root(int g) { line("sdiv s", g, ", s", g, ", s13"); }
  // s13 = the root of A + eps (B + eps), A in s14, B in s13; norm: the scalar of A's mean
  void root_behind_norm(int norm) {
    line("smul s13, s13, s1");
    line("sadd s13, s13, s0");
    line("smul s13, s13, s0");
    line("smul s14, s14, s", norm);
    line("sadd s13, s14, s13");
    line("root s13, s13");
  }
  void product(int v, const char* q, int rows, int columns, std::uint32_t tiles) {
    line("tmm v", v, ", ", q, ", n", rows, ", n", columns, ", layer, ", at_.layers + tiles);
  }

  void begin() {
    line("ldv v0, n0, token, ", at_.table);
    line("lds s0, ", int(SharedScalars::count), ", at, ", at_.scalars);
    load_norm(0, at_.record.i);
    load_norm(1, at_.record.token_norm);
    line("stat v0, n0, p0");
  }

  // i, f and g read the same row, so they share the root of its mean square.
  void mix_tokens() {
    const auto& r = at_.record;
    line("lds s4, ", int(LayerScalars::count), ", layer, ", at_.layers + r.scalars);
    line("rcp s15");
    line("qnt qa, v0, n0, p0, s15, squares=s13, norm=p1, weighed=s14");
    product(1, "qa", 0, 0, r.tiles.i);
    load_norm(2, r.f);
    scale(4);
    line("stat v0, n0, p2");
    line("rcp s15");
    line("qnt qb, v0, n0, p2, s15");
    product(2, "qb", 0, 0, r.tiles.f);
    load_norm(0, r.g);
    scale(5);
    line("stat v0, n0, p0");
    root_behind_norm(10);
    divide_by_root(4);
    divide_by_root(5);
    load_norm(1, r.g_norm);
    load_norm(2, r.o);
    if (sizes_.bound) load_norm(3, r.open);
    line("ldv v4, n0, pass, ", at_.state);
    line("rcp s15");
    line("qnt qa, v0, n0, p0, s15");  // when the product of i is done
    product(3, "qa", 0, 0, r.tiles.g);
    scale(6);
    divide_by_root(6);
    load_norm(0, r.gate);
    line("silu v5, v1, s4, n0, narrow=", shift_);
    line("sig v6, v2, s5, n0, narrow=", shift_, sizes_.bound ? ", open=p3, from=1" : ", from=0");
    line("scan v4, v6, v5, n0");
    line("stv v4, n0, pass, ", at_.state);
    line("siluh v5, v4, n0");
    line("mulp v5, v5, p1, n0, shift=15, narrow=0");
    load_norm(3, r.channel_norm);
    load_norm(1, r.down, 1);
    line("mul v6, v3, v5, n0, shift=9, narrow=", shift_, ", squares=s14, stat=p2");
    line("rcp s15");
    line("qnt qb, v6, n0, p2, s15, squares=s13");
    product(1, "qb", 0, 0, r.tiles.o);
    scale(7);
    line("smul s6, s6, s6");
    line("sdiv s6, s0, s6");
    line("smul s14, s14, s2");
    line("sadd s14, s14, s6");
    line("smul s14, s14, s0");
    line("smul s13, s13, s12");
    line("sadd s13, s13, s14");
    line("root s13, s13");
    divide_by_root(7);
    line("mac v0, v0, v1, s7, n0, fraction=", fraction_, ", narrow=", shift_, ", stat=p0");
  }

  // At its end p0 and p1 are the next record's first vectors: those of the next layer, or the
  // head's.
  void mix_channels() {
    const auto& r = at_.record;
    line("rcp s15");
    line("qnt qa, v0, n0, p0, s15, squares=s13, norm=p3, weighed=s14");
    product(1, "qa", 1, 0, r.tiles.a);
    product(2, "qa", 1, 0, r.tiles.b);
    scale(8);
    root_behind_norm(11);
    divide_by_root(8);
    load_norm(0, r.bytes + r.i);
    line("silu v3, v1, s8, n1, narrow=", shift_);
    line("mul v4, v2, v3, n1, shift=9, narrow=", shift_, ", stat=p1");
    line("rcp s15");
    line("qnt qb, v4, n1, p1, s15, squares=s13");
    product(1, "qb", 0, 1, r.tiles.down);
    scale(9);
    line("smul s8, s8, s8");
    line("sdiv s8, s0, s8");
    line("smul s13, s13, s3");
    line("sadd s13, s13, s8");
    line("root s13, s13");
    divide_by_root(9);
    load_norm(1, r.bytes + r.token_norm);
    line("mac v0, v0, v1, s9, n0, fraction=", fraction_, ", narrow=", glu_shift_, ", stat=p0");
  }

  // Blocks of n2 rows, the last one of n3. While the sums of one are looked at and stored, the
  // array makes those of the next, in the other of v1 and v2.
  void head() {
    line("lds s4, ", int(HeadScalars::count), ", at, ", at_.head_scalars);
    line("rcp s15");
    line("qnt qa, v0, n0, p0, s15, squares=s13, norm=p1, weighed=s14");
    const std::uint64_t blocks = at_.head_blocks, pairs = blocks > 0 ? (blocks - 1) / 2 : 0;
    const bool rest = at_.lengths[3] > 0;
    head_product(0, blocks > 0 ? 2 : 3, 0);
    scale(4);
    root_behind_norm(5);
    divide_by_root(4);
    if (pairs > 0) {
      const std::size_t first = words();
      head_product(1, 2, 1, "layer");
      look_at(0, 2, 0, "pass");
      head_product(0, 2, 2, "layer");
      look_at(1, 2, 1, "pass");
      line("loop ", first, ", passes=", 2 * pairs, ", step=2, stride=", 2 * at_.head_block_bytes);
    }
    std::uint64_t block = 2 * pairs;  // whose sums are not looked at yet
    const std::uint64_t all = blocks + rest;
    for (; block + 1 < all; ++block) {
      head_product(block + 1, block + 1 < blocks ? 2 : 3, block + 1);
      look_at(block, 2, block, "at");
    }
    look_at(block, block < blocks ? 2 : 3, block, "at");
  }
  // Blocks alternate between v1 and v2. at: the block whose tiles are multiplied
  void head_product(std::uint64_t parity, int length, std::uint64_t at, const char* base = "at") {
    line("tmm v", 1 + parity % 2, ", qa, n", length, ", n0, ", base, ", ",
         at_.head_tiles + at * at_.head_block_bytes);
  }
  void look_at(std::uint64_t parity, int length, std::uint64_t at, const char* base) {
    const std::uint64_t first = at * at_.lengths[2];
    line("amax v", 1 + parity % 2, ", n", length, ", ", base, ", ", first);
    line("stv v", 1 + parity % 2, ", n", length, ", ", base, ", ", at_.sums + 4 * first);
  }

  const ImageSizes sizes_;
  const ImageLayout& at_;
  const std::uint32_t fraction_;
  const int shift_, glu_shift_;
  std::string text_{};
  std::size_t words_ = 0;
};

}  // namespace

std::vector<std::uint64_t> token_program(const ImageSizes& sizes, const ImageLayout& layout) {
  return Writer(sizes, layout).program();
}

}  // namespace tern::rtl
