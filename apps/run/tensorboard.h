// Event files that TensorBoard shows: scalars over steps, and sample texts. A record is a length, a
// protocol buffer `Event` and two masked CRC-32Cs (tensorflow/core/util/event.proto and
// lib/io/record_writer.h); only the fields that are needed here are written.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "apps/console/reports.h"

namespace tern {

class TensorBoard {
 public:
  // A new file in the directory, which is made: TensorBoard joins those of one directory. Begins at
  // the first report's step; where steps go back, after a rewind or in a resumed run, later points
  // are void. warn gets one line if, and only once, events are lost. Fault::disk.
  TensorBoard(const std::filesystem::path& directory, std::function<void(const std::string&)> warn);
  ~TensorBoard();
  TensorBoard(const TensorBoard&) = delete;
  TensorBoard& operator=(const TensorBoard&) = delete;

  void write(const StepReport& report);
  void write(const ValidationReport& report);
  void write(const SampleReport& report);

 private:
  void go_to(std::int64_t step);
  void append(const std::string& event);

  int descriptor_ = -1;
  std::int64_t step_ = -1;  // of the last report; -1: none yet
  std::function<void(const std::string&)> warn_;
  bool lost_ = false;
};

// CRC-32C (Castagnoli) of bytes
std::uint32_t crc32c(std::string_view bytes);

}  // namespace tern
