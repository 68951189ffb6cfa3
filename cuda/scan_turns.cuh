// Which tiles of a scan over time a block works on, turn by turn.
//
// With enough columns each block walks along time over an equal share of them, end to end, and so
// has a tile's state at hand when it comes to the next; of the columns that begin or end its share
// another block has the rest. It walks the last of them first, since that is the one whose end
// somebody else waits for; its first, whose beginning it waits for, last. With few columns, blocks
// take tiles by ticket, all of one chunk before any of the next.
#pragma once

#include "cuda/scan_tiles.cuh"

namespace tern::cuda {

// Which of the walks this block is: if one waits for the one before, that one has begun already.
__device__ inline unsigned rank_of_block(const ScanTiles& tiles) {
  __shared__ unsigned rank;
  if (!tiles.walks || !tiles.ticket) return blockIdx.x;
  if (threadIdx.x == 0) rank = tiles.take_ticket();
  __syncthreads();
  return rank;
}

// The turns of one block: first(), then next() of the last, are one thread's to call.
class ScanTurns {
 public:
  // rank: which of the walks this is
  __device__ ScanTurns(const ScanTiles& tiles, unsigned rank) : tiles_(tiles), rank_(rank) {
    if (!tiles_.walks) return;
    begin_ = share(rank);
    end_ = share(rank + 1);
  }

  __device__ ScanTile first() {
    if (tiles_.walks) return start_of((end_ - 1) / tiles_.chunks);
    ticket_ = tiles_.take_ticket();
    return next_ticket();
  }
  __device__ ScanTile next(const ScanTile& last) {
    if (!tiles_.walks) return next_ticket();
    if (!last.exists()) return last;
    if (last.ends) {
      const unsigned column_begin = last.number - unsigned(last.chunk);
      return column_begin > begin_ ? start_of(column_begin / tiles_.chunks - 1) : ScanTile::none();
    }
    ScanTile tile = last;
    ++tile.number;
    ++tile.chunk;
    return joined(tile);
  }

  // A tile's words; those of the tile before are `stride` words earlier.
  __device__ std::uint64_t* links_of(const ScanTile& tile) const {
    return tiles_.links + Index(tiles_.walks ? rank_ : tile.number) * kScanChannels;
  }
  __device__ Index stride() const {
    return Index(tiles_.walks ? 1 : tiles_.columns) * kScanChannels;
  }

 private:
  __device__ unsigned share(unsigned rank) const {
    return unsigned((unsigned long long)(tiles_.count()) * rank / tiles_.walks);
  }
  // the first tile of a column that is this block's
  __device__ ScanTile start_of(unsigned column) const {
    const unsigned start = column * tiles_.chunks, number = start > begin_ ? start : begin_;
    return joined(tiles_.at(number, column, number - start));
  }
  __device__ ScanTile joined(ScanTile tile) const {
    const bool completes = tile.chunk + 1 == int(tiles_.chunks);
    tile.carried = tile.chunk > 0 && tile.number != begin_;
    tile.ends = tile.number + 1 == end_ || completes;
    tile.passed_on = tile.ends && !completes;
    tile.taken_over = begin_ > tile.number - unsigned(tile.chunk);
    return tile;
  }
  __device__ ScanTile next_ticket() {
    const unsigned number = ticket_, chunk = number / tiles_.columns;
    if (number >= tiles_.count()) return ScanTile::none();
    ticket_ = tiles_.take_ticket();  // a turn before it is used: nobody waits for it
    return tiles_.at(number, number - chunk * tiles_.columns, chunk);
  }

  const ScanTiles& tiles_;
  unsigned rank_, begin_ = 0, end_ = 0, ticket_ = 0;
};

}  // namespace tern::cuda
