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

// The turns of one block. `next` is one thread's to call.
class ScanTurns {
 public:
  // rank: which of the walks this is
  __device__ ScanTurns(const ScanTiles& tiles, unsigned rank) : tiles_(tiles) {
    if (!tiles_.walks) return;
    const unsigned long long count = tiles_.count();
    rank_ = rank;
    begin_ = unsigned(count * rank / tiles_.walks);
    end_ = unsigned(count * (rank + 1) / tiles_.walks);
  }
  __device__ ScanTile first() {
    if (tiles_.walks) return start_of((end_ - 1) / tiles_.chunks);
    ticket_ = tiles_.take_ticket();
    return next({});
  }
  __device__ ScanTile next(const ScanTile& last) {
    if (tiles_.walks) {
      if (!last.exists()) return last;
      if (!ends(last)) return {last.number + 1, last.b, last.chunk + 1, last.channel};
      const unsigned column_begin = last.number - unsigned(last.chunk);
      return column_begin > begin_ ? start_of(column_begin / tiles_.chunks - 1) : none();
    }
    const unsigned number = ticket_;
    if (number >= tiles_.count()) return none();
    ticket_ = tiles_.take_ticket();  // a turn before it is used: nobody waits for it
    const unsigned chunk = number / tiles_.columns;
    return tiles_.at(number, number - chunk * tiles_.columns, chunk);
  }

  // the block comes to this tile with the state of the one before
  __device__ bool carried(const ScanTile& tile) const {
    return tiles_.walks && tile.chunk > 0 && tile.number != begin_;
  }
  // it goes on elsewhere after this one
  __device__ bool ends(const ScanTile& tile) const {
    return !tiles_.walks || tile.number + 1 == end_ || tile.chunk + 1 == int(tiles_.chunks);
  }
  // another block goes on with this one's state
  __device__ bool passed_on(const ScanTile& tile) const {
    return ends(tile) && tile.chunk + 1 < int(tiles_.chunks);
  }
  // A tile's words; those of the tile before are `stride` words earlier.
  __device__ std::uint64_t* links_of(const ScanTile& tile) const {
    return tiles_.links + Index(tiles_.walks ? rank_ : tile.number) * kScanChannels;
  }
  __device__ Index stride() const {
    return Index(tiles_.walks ? 1 : tiles_.columns) * kScanChannels;
  }
  __device__ bool walks() const { return tiles_.walks; }
  // of a column: another block has walked it up to here
  __device__ bool takes_over(const ScanTile& tile) const {
    return int(begin_) > int(tile.number) - tile.chunk;
  }

 private:
  // holds nothing that exists
  __device__ static ScanTile none() { return {~0u, 0, 0, 1 << 30}; }
  // the first tile of a column that is this block's
  __device__ ScanTile start_of(unsigned column) const {
    const unsigned start = column * tiles_.chunks, number = start > begin_ ? start : begin_;
    return tiles_.at(number, column, number - start);
  }

  const ScanTiles& tiles_;
  unsigned rank_ = 0, begin_ = 0, end_ = 0, ticket_ = 0;
};

}  // namespace tern::cuda
