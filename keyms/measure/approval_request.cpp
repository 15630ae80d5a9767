// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/measure/approval_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/byte_writer.h"
#include "base/hex.h"
#include "tpm/seal/counter_area.h"

namespace cs::keyms {

namespace {

constexpr std::string_view what = "an approval request";
constexpr std::array<std::uint8_t, 8> magic{'C', 'S', 'r', 'e', 'q', 'u', 0, 1};
constexpr std::size_t most_name = 255;

ByteView view_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// It is shown to a person, and may come from a gateway that is not ours any more.
Result<std::string> name_of(ByteView bytes) {
  const auto printable = [](std::uint8_t byte) { return byte >= ' ' && byte <= '~'; };
  if (!bytes.empty() && std::ranges::all_of(bytes, printable)) {
    return std::string(bytes.begin(), bytes.end());
  }
  return Error(ErrorKind::invalid, "reading an approval request: a name that is not printable");
}

std::string line_of(std::string_view about, const RegisterStory::Logged& logged) {
  return "record " + std::to_string(logged.record) + ": " + std::string(about) + " " +
         hex_encode(logged.hash) + "\n";
}

}  // namespace

Result<tpm::Bytes> ApprovalRequest::encode() const {
  ByteBuilder out(most);
  out.bytes(magic)
      .vec8(view_of(gateway))
      .vec8(view_of(purpose))
      .u32be(counter_index)
      .u64be(counter_at_most);
  boot.write(out);
  out.u8(static_cast<std::uint8_t>(static_pcr)).vec32be(static_log);
  return out.finish(what);
}

Result<ApprovalRequest> ApprovalRequest::parse(ByteView bytes) {
  ByteReader in(bytes);
  ApprovalRequest request;
  std::array<std::uint8_t, magic.size()> begin{};
  if (!in.copy_to(begin)) return in.failure(what);
  if (begin != magic) {
    return Error(ErrorKind::invalid,
                 "reading an approval request: it does not begin as version 1 does");
  }
  ByteView gateway;
  ByteView purpose;
  if (!in.vec8(most_name, gateway) || !in.vec8(most_name, purpose) ||
      !in.u32be(request.counter_index) || !in.u64be(request.counter_at_most)) {
    return in.failure(what);
  }
  CS_TRY(request.gateway, name_of(gateway));
  CS_TRY(request.purpose, name_of(purpose));
  CS_TRY(request.boot, tpm::PcrState::read(in).context("reading an approval request"));
  std::uint8_t pcr = 0;
  ByteView log;
  if (!in.u8(pcr) || !in.vec32be(tpm::most_cel_log, log) || !in.expect_end()) {
    return in.failure(what);
  }
  request.static_pcr = pcr;
  request.static_log.assign(log.begin(), log.end());
  CS_CHECK(request.terms().context("reading an approval request"));
  return request;
}

Result<tpm::ApprovalTerms> ApprovalRequest::terms() const {
  CS_CHECK(tpm::check_counter_index(counter_index));
  CS_TRY(const tpm::Digest reference, tpm::approval_reference(gateway, purpose));
  CS_TRY(tpm::PcrState state, sealing_state(boot, static_pcr, static_log));
  return tpm::ApprovalTerms{reference, counter_index, counter_at_most, std::move(state)};
}

Result<std::string> ApprovalRequest::text(std::span<const tpm::Digest> known) const {
  CS_TRY(const auto story, RegisterStory::read(StoryOf::static_register, static_log, known));
  std::string text = "gateway " + gateway + ", for its " + purpose +
                     "\nholds until its counter has passed " + std::to_string(counter_at_most) +
                     "\nboot registers:\n" + boot.values().text() + "static PCR " +
                     std::to_string(static_pcr) + ", " + std::to_string(story.records()) +
                     " records:\n";
  for (const auto& value : story.core_properties()) text += line_of("policy", value);
  if (story.configuration()) text += line_of("configuration", *story.configuration());
  for (const auto& healed : story.healed()) {
    text += "record " + std::to_string(healed.drift) + ": drift, healed by record " +
            std::to_string(healed.healing) + ": " + healed.text + "\n";
  }
  for (const auto& [drift, record] : story.drifts()) {
    text += "record " + std::to_string(record) + ": drift, NOT HEALED: " + drift + "\n";
  }
  return text;
}

Result<tpm::Approval> take_approval(ByteView bytes, const ApprovalRequest& asked,
                                    const tpm::PublicArea& approver) {
  CS_TRY(const tpm::ApprovalTerms terms, asked.terms());
  CS_TRY(tpm::Approval approval, tpm::Approval::parse(bytes));
  CS_CHECK(approval.verify(approver, terms.reference));
  const auto fault = [](const std::string& said) {
    return Error(ErrorKind::unverified, "the approval is not the one that was asked for: " + said)
        .with_hint("make a new request, as the machine may be in another state by now");
  };
  if (approval.counter_index != terms.counter_index ||
      approval.counter_at_most != terms.counter_at_most) {
    return fault("it goes by another counter, or holds for longer or shorter");
  }
  const auto differences = terms.state.differences(approval.state.values());
  if (!differences.empty()) return fault(differences.front().text());
  if (approval.state.selection() == terms.state.selection()) return approval;
  return fault("it is of other registers");
}

}  // namespace cs::keyms
