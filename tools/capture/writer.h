// SPDX-License-Identifier: GPL-3.0-or-later
// Writes pcap files.
#pragma once

#include <string>

#include "base/result.h"
#include "tools/capture/frame.h"
#include "tools/capture/input.h"
#include "tools/capture/reader.h"

namespace cs::capture {

class Writer {
 public:
  // Replaces what is there. The file says a snaplen of at least max_frame, because frames may grow
  // above what the one they come from had.
  [[nodiscard]] static Result<Writer> create(const std::string& path, const Format& format);

  // Refused: a frame above max_frame or of another link type than the file's, of which there is
  // one.
  [[nodiscard]] Result<void> write(const Frame& frame);
  // What is still in memory; without it the file may be incomplete. Ends the writing.
  [[nodiscard]] Result<void> finish();

 private:
  Writer(File file, const Format& format) : file_(std::move(file)), format_(format) {}
  [[nodiscard]] Result<void> put(ByteView bytes);

  File file_;
  Format format_;
};

}  // namespace cs::capture
