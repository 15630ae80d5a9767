// SPDX-License-Identifier: GPL-3.0-or-later
#include "tools/packet/capture_pair.h"

#include <filesystem>
#include <system_error>
#include <utility>

namespace cs::packet {

namespace {

std::string name_of(const std::string& path) {
  return "the capture " + path;
}

}  // namespace

Result<CapturePair> CapturePair::open(const std::string& in, const std::string& out) {
  std::error_code none;
  if (!out.empty() && std::filesystem::is_regular_file(out, none) &&
      std::filesystem::equivalent(in, out, none)) {
    return Error(ErrorKind::invalid, name_of(out) + ": it is the one that is read")
        .with_hint("give another name with --out");
  }
  auto reader = capture::Reader::open(in).context(name_of(in));
  CS_TRY(auto opened, std::move(reader));
  return CapturePair(std::move(opened), in, out);
}

Result<void> CapturePair::create() {
  if (out_.empty() || writer_) return {};
  CS_TRY(writer_, capture::Writer::create(out_, reader_->format()).context(name_of(out_)));
  return {};
}

Result<bool> CapturePair::next(capture::Frame& frame) {
  auto result = reader_->next(frame).context([&] { return name_of(in_); });
  CS_CHECK(create());  // also of a capture that breaks off at once
  if (!result.ok() || !*result || capture::is_known(frame.link)) return result;
  return Error(ErrorKind::unsupported, name_of(in_) + ": link type " +
                                           std::to_string(static_cast<std::uint16_t>(frame.link)) +
                                           " is not one we read")
      .with_hint("capture on an Ethernet or IP interface, or on \"any\"");
}

Result<void> CapturePair::write(const capture::Frame& frame) {
  if (!writer_) return {};
  return writer_->write(frame).context([&] { return name_of(out_); });
}

Result<void> CapturePair::finish() {
  if (!writer_) return {};
  auto finished = writer_->finish().context(name_of(out_));
  writer_.reset();
  return finished;
}

}  // namespace cs::packet
