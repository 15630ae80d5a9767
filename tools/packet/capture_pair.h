// SPDX-License-Identifier: GPL-3.0-or-later
// A capture that is read, and perhaps another that is written of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "tools/capture/reader.h"
#include "tools/capture/writer.h"

namespace cs::packet {

class CapturePair {
 public:
  // `out` empty: nothing is written. Refused: both being one file.
  [[nodiscard]] static Result<CapturePair> open(const std::string& in, const std::string& out);

  // As Reader::next(); fails with `unsupported` for a link type in which we would find nothing.
  [[nodiscard]] Result<bool> next(capture::Frame& frame);
  // The file comes with the first next(), of the input's kind.
  [[nodiscard]] Result<void> write(const capture::Frame& frame);
  [[nodiscard]] Result<void> finish();

 private:
  CapturePair(std::unique_ptr<capture::Reader> reader, std::string in, std::string out)
      : reader_(std::move(reader)), in_(std::move(in)), out_(std::move(out)) {}
  [[nodiscard]] Result<void> create();

  std::unique_ptr<capture::Reader> reader_;
  std::optional<capture::Writer> writer_;
  std::string in_;
  std::string out_;
};

}  // namespace cs::packet
