// Saves checkpoints while training goes on: save() copies the tensors and returns, a thread writes
// the copy. Without memory for the copy, save() writes the tensors itself, a block at a time. Where
// several processes write a checkpoint, each writes its shard. A save that fails leaves the
// previous checkpoints as they were and is reported, not thrown.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "data/checkpoint/directory.h"
#include "data/io/json.h"
#include "data/io/stored_type.h"

namespace tern {

// A tensor to save, or consecutive rows of it: their bytes, row-major, little-endian.
struct TensorBytes {
  std::string name;  // 1 to 512 bytes without '/'
  StoredType type = StoredType::f32;
  std::vector<std::uint64_t> shape;  // of the whole tensor
  std::span<const std::byte> bytes;  // in host memory, or none
  std::uint64_t first_row = 0;       // of the bytes
  bool constant = false;             // the bytes do not change during a save
  // For a tensor in device memory: its size, and a function that copies bytes from `offset` on.
  std::uint64_t device_bytes = 0;
  std::function<void(std::uint64_t offset, std::span<std::byte> to)> download{};

  std::uint64_t size() const { return download ? device_bytes : bytes.size(); }
  std::uint64_t row_bytes() const;
  std::uint64_t rows() const;  // in the bytes
};

// The layout of a checkpoint: which rows of which tensor go into which file. A function of names,
// shapes and the limit alone, so every save of a run has the same files.

// Consecutive rows of one of the given tensors.
struct Rows {
  std::size_t tensor = 0;  // index among the given tensors
  std::uint64_t first = 0, count = 0;
};

using Part = std::vector<Rows>;

// Files of at most part_bytes each, structure included. A tensor that fits into one file is not
// split; a single row that does not fit gets a larger file of its own.
std::vector<Part> plan_parts(std::span<const TensorBytes> tensors, std::uint64_t part_bytes);

// "rank-000-part-00.h5"
std::string part_name(int rank, std::size_t part);

struct CheckpointOptions {
  std::filesystem::path directory;  // made if missing
  Retention retention{};
  std::uint64_t part_bytes = std::uint64_t(1) << 30;  // the longest file
  std::string version{};                              // of tern
  int rank = 0, world = 1;                            // of the processes that write it together
  // Bytes of host memory that the copy may take, asked at the first save. Empty: enough.
  std::function<std::uint64_t()> free_memory{};
};

// Host memory of a save for blocks of tensors in device memory, beside the copy of all tensors.
inline constexpr std::size_t kCheckpointBlock = 4 << 20;  // bytes; hashed while in cache

// Bytes of the copy that save() makes: of all tensors that may change during the save.
std::uint64_t snapshot_bytes(std::span<const TensorBytes> tensors);

// Contents of a checkpoint beside its tensors.
struct CheckpointFacts {
  std::uint64_t step = 0;
  std::uint64_t tokens = 0;             // seen in training so far
  std::uint64_t parameters = 0;         // of the model
  nlohmann::json config{};              // of the run; `tern generate` rebuilds the model from it
  nlohmann::json state{};               // data position, schedule, seed; needed to resume
  std::optional<std::uint64_t> best{};  // the step that `best` names once this one is saved
  bool prune = true;                    // delete what retention does not keep
};

struct SaveResult {
  std::uint64_t step = 0;
  std::filesystem::path path{};
  std::uint64_t bytes = 0;   // of all its files
  double seconds = 0;        // from the snapshot to the last fsync
  double stall_seconds = 0;  // that save() took
  bool streamed = false;     // written without a copy, while the caller waited
  std::string error{};       // why it was not saved; empty: it was
  std::string shard{};       // with several processes: argument of complete_checkpoint()
  std::string warning{};     // saved, but `latest` or old checkpoints could not be changed
};

class CheckpointWriter {
 public:
  // Makes the directory, removes leftovers of dead processes, and tries to write there.
  // Fault::disk: a run fails before its first step and not at its first save.
  explicit CheckpointWriter(CheckpointOptions options);
  ~CheckpointWriter();  // waits for the save in flight

  // Waits for a save in flight, then starts one; without memory for a copy it writes before it
  // returns. The tensors may change afterwards. Returns the seconds that the caller waited. Throws
  // the error of a download that fails while the copy is made.
  double save(const CheckpointFacts& facts, std::span<const TensorBytes> tensors);

  const CheckpointOptions& options() const { return options_; }

  std::vector<SaveResult> poll();  // of saves finished since the last call
  std::vector<SaveResult> wait();  // the same, after the save in flight

 private:
  bool reserve(std::uint64_t bytes);
  void snapshot(std::span<const TensorBytes> tensors);
  SaveResult write(const CheckpointFacts& facts, std::span<const TensorBytes> tensors) const;
  void finished(SaveResult result);

  CheckpointOptions options_;
  std::unique_ptr<std::byte[]> staging_;  // kept for the run, so its pages are allocated once
  std::uint64_t staging_bytes_ = 0;
  std::vector<TensorBytes> staged_;
  std::mutex mutex_;
  std::vector<SaveResult> finished_;
  std::thread thread_;
};

// One checkpoint of several processes, in the calling thread. One process begins it; each writes
// its shard, a part of the tensors; one completes it with the returned texts, by rank, and
// publishes it, or drops it if a shard failed. complete_checkpoint returns the bytes written.
// Usually Fault::disk.
void begin_checkpoint(const CheckpointOptions& options, std::uint64_t step);
std::string write_shard(const CheckpointOptions& options, const CheckpointFacts& facts,
                        std::span<const TensorBytes> tensors);
std::uint64_t complete_checkpoint(const CheckpointOptions& options, const CheckpointFacts& facts,
                                  std::span<const std::string> shards);
void drop_checkpoint(const CheckpointOptions& options, std::uint64_t step);

// After a save: updates `latest` and `best`, and deletes checkpoints that retention does not keep.
// A failure does no harm to the saved checkpoint. Returns its reason; empty: none.
std::string tidy_checkpoints(const CheckpointOptions& options, const CheckpointFacts& saved);

// Writes and publishes one checkpoint in the directory, which exists, in the calling thread.
// Returns the bytes written. Leaves nothing behind when it throws (usually Fault::disk).
std::uint64_t write_checkpoint(const CheckpointOptions& options, const CheckpointFacts& facts,
                               std::span<const TensorBytes> tensors);

}  // namespace tern
