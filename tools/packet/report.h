// SPDX-License-Identifier: GPL-3.0-or-later
// What was found in a capture: a line or a JSON object per packet as it comes, and the counts.
#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "nfq-signer/extension.h"
#include "nfq-signer/packet.h"
#include "nfq-signer/reason.h"
#include "tools/capture/frame.h"
#include "tools/packet/classify.h"

namespace cs::packet {

// An ESP or AH packet, or one that may be.
struct Verdict {
  std::uint64_t frame = 0;  // from 1, as other tools count
  Reason reason = Reason::none;
  const capture::Frame* captured = nullptr;
  const Classified* found = nullptr;
  const ExtensionFields* extension = nullptr;  // null: none was found
};

class Report {
 public:
  static constexpr int schema_version = 1;

  // `good`: what a packet without a reason against it is called, as "verified".
  Report(std::ostream& out, bool json, std::string_view good);

  void frame() noexcept { ++frames_; }
  void passed() noexcept { ++passed_; }
  void count(const Verdict& verdict) noexcept;
  // count(), and tells of it.
  void packet(const Verdict& verdict);
  // The counts; `error`: why the capture was not read to its end.
  void finish(const std::optional<std::string>& error);

  [[nodiscard]] std::uint64_t frames() const noexcept { return frames_; }
  [[nodiscard]] bool some_refused() const noexcept { return refused_ != 0; }

 private:
  void finish_text();
  void finish_json(const std::optional<std::string>& error);

  std::ostream& out_;
  std::string_view good_word_;
  bool json_;
  bool first_ = true;
  std::uint64_t frames_ = 0;
  std::uint64_t passed_ = 0;
  std::uint64_t good_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t truncated_ = 0;  // among the refused
  std::array<std::uint64_t, static_cast<std::size_t>(Reason::count)> reasons_{};
};

}  // namespace cs::packet
