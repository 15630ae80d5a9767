// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/statement_check.h"

#include <algorithm>
#include <array>

#include "base/panic.h"

namespace cs::keyms {

namespace {

struct Fields {
  std::array<std::uint8_t, statement_domain.size()> domain{};
  std::uint8_t zero = 0;
  std::uint8_t version = 0;
  std::uint8_t suite = 0;
  std::uint8_t node_size = 0;
  SessionId session{};
  std::uint8_t direction = 0;
  std::uint32_t key = 0;
  std::uint16_t lane = 0;
  std::uint64_t batch = 0;
  std::uint16_t count = 0;
  PcrDigest pcr_digest{};
};

// Salt and root are the signer's own: whatever they are, they say nothing beyond this batch.
bool read(ByteView statement, Fields& out) noexcept {
  constexpr std::size_t salt_size = 16;
  constexpr std::size_t root_size = 32;
  ByteReader r(statement);
  return r.copy_to(out.domain) && r.u8(out.zero) && r.u8(out.version) && r.u8(out.suite) &&
         r.u8(out.node_size) && r.copy_to(out.session) && r.u8(out.direction) && r.u32be(out.key) &&
         r.u16be(out.lane) && r.u64be(out.batch) && r.u16be(out.count) && r.skip(salt_size) &&
         r.copy_to(out.pcr_digest) && r.skip(root_size) && r.expect_end();
}

bool is_statement(const Fields& fields) noexcept {
  return std::equal(fields.domain.begin(), fields.domain.end(), statement_domain.begin()) &&
         fields.zero == 0 && fields.version == statement_version && fields.count >= 1 &&
         fields.count <= max_batch_count;
}

SignStatus compare(const Fields& fields, const KeyScope& scope) noexcept {
  if (fields.suite != static_cast<std::uint8_t>(scope.suite) ||
      fields.node_size != node_size(scope.suite)) {
    return SignStatus::other_suite;
  }
  if (fields.session != scope.session) return SignStatus::other_session;
  if (fields.direction != scope.direction) return SignStatus::other_direction;
  if (fields.key != scope.key) return SignStatus::other_key;
  if (fields.pcr_digest != scope.pcr_digest) return SignStatus::other_pcr;
  return SignStatus::done;
}

}  // namespace

StatementCheck::StatementCheck(const KeyScope& scope, LaneRange lanes)
    : scope_(scope), lanes_(lanes) {
  if (lanes.first > lanes.last) panic("StatementCheck: no lanes");
  last_signed_.resize(std::size_t{lanes.last} - lanes.first + 1);
}

SignStatus StatementCheck::admit(ByteView statement) noexcept {
  Fields fields;
  if (!read(statement, fields) || !is_statement(fields)) return SignStatus::not_a_statement;
  if (const SignStatus found = compare(fields, scope_); found != SignStatus::done) return found;
  if (fields.lane < lanes_.first || fields.lane > lanes_.last) return SignStatus::lane_not_allowed;
  auto& last = last_signed_[std::size_t{fields.lane} - lanes_.first];
  if (last && fields.batch <= *last) return SignStatus::batch_repeated;
  last = fields.batch;
  return SignStatus::done;
}

}  // namespace cs::keyms
