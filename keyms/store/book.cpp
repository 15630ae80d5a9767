// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/store/book.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/ne_id.h"

namespace cs::keyms {

namespace {

constexpr std::string_view what = "the store's book";
constexpr std::uint64_t format = 1;
constexpr std::size_t digest_size = 32;
// WallTime's own end.
constexpr std::uint64_t last_second = 9'223'372'036;

std::string name_of(std::string_view peer, std::uint64_t version) {
  return "the policy with " + std::string(peer) + ", version " + std::to_string(version);
}

bool comes_before(const KeptPolicy& a, const KeptPolicy& b) {
  return std::tie(a.peer, a.version) < std::tie(b.peer, b.version);
}

Result<tpm::Digest> read_digest(CborReader& in, std::string_view name) {
  CS_TRY(const ByteView bytes, in.exactly(name, digest_size));
  return tpm::Digest::from(tpm::HashAlgorithm::sha256, bytes);
}

Result<std::string> read_peer(CborReader& in) {
  CS_TRY(const std::string_view peer, in.text("a peer", max_ne_id));
  if (!is_ne_id(peer)) return in.wrong("a peer", "is no NeID");
  return std::string(peer);
}

Result<std::uint64_t> read_version(CborReader& in) {
  CS_TRY(const std::uint64_t version, in.number("a version"));
  if (version == 0) return in.wrong("a version", "is 0");
  return version;
}

Result<KeptPolicy> read_policy(CborReader& in) {
  KeptPolicy policy;
  CS_CHECK(in.begin_map("a policy", 5));
  CS_CHECK(in.key(0, "a peer"));
  CS_TRY(policy.peer, read_peer(in));
  CS_CHECK(in.key(1, "a version"));
  CS_TRY(policy.version, read_version(in));
  CS_CHECK(in.key(2, "a core properties value"));
  CS_TRY(policy.core_properties, read_digest(in, "a core properties value"));
  CS_CHECK(in.key(3, "a state"));
  CS_TRY(const std::uint64_t state, in.number("a state"));
  if (state < 1 || state > 3) return in.wrong("a state", "is not 1, 2 or 3");
  policy.state = static_cast<PolicyState>(state);
  CS_CHECK(in.key(4, "an agreement"));
  CS_TRY(const ByteView agreement, in.bytes("an agreement", KeptPolicy::most_agreement));
  policy.agreement.assign(agreement.begin(), agreement.end());
  CS_CHECK(in.end_map("a policy"));
  return policy;
}

Result<TakenApproval> read_approval(CborReader& in) {
  CS_CHECK(in.begin_map("an approval", 2));
  CS_CHECK(in.key(0, "an approval"));
  CS_TRY(const tpm::Digest approval, read_digest(in, "an approval"));
  CS_CHECK(in.key(1, "its time"));
  CS_TRY(const std::uint64_t taken, in.number("its time", last_second));
  CS_CHECK(in.end_map("an approval"));
  return TakenApproval{approval, from_time_t(static_cast<std::time_t>(taken))};
}

}  // namespace

const KeptPolicy* Book::in_force(std::string_view peer) const noexcept {
  const auto found = std::ranges::find_if(policies_, [&](const KeptPolicy& kept) {
    return kept.peer == peer && kept.state == PolicyState::in_force;
  });
  return found == policies_.end() ? nullptr : &*found;
}

std::uint64_t Book::highest_run(std::string_view peer) const noexcept {
  const auto found = highest_run_.find(peer);
  return found == highest_run_.end() ? 0 : found->second;
}

std::vector<tpm::Digest> Book::core_properties() const {
  std::vector<tpm::Digest> digests;
  for (const KeptPolicy& kept : policies_) {
    if (kept.state == PolicyState::in_force) digests.push_back(kept.core_properties);
  }
  std::ranges::sort(digests, [](const tpm::Digest& a, const tpm::Digest& b) {
    return std::ranges::lexicographical_compare(a.bytes(), b.bytes());
  });
  return digests;
}

KeptPolicy* Book::find(std::string_view peer, std::uint64_t version) noexcept {
  const auto found = std::ranges::find_if(policies_, [&](const KeptPolicy& kept) {
    return kept.peer == peer && kept.version == version;
  });
  return found == policies_.end() ? nullptr : &*found;
}

Result<void> Book::agree(KeptPolicy policy) {
  const std::string name = name_of(policy.peer, policy.version);
  const std::uint64_t highest = highest_run(policy.peer);
  if (policy.version <= highest) {
    return Error(ErrorKind::denied,
                 name + ": version " + std::to_string(highest) + " has been run already")
        .with_hint("to go back to what it says, agree on it again with a higher version");
  }
  if (const KeptPolicy* const kept = find(policy.peer, policy.version)) {
    if (kept->core_properties == policy.core_properties) return {};
    return Error(ErrorKind::exists, name + ": another policy of that version is agreed")
        .with_hint("give the new one a higher version");
  }
  if (!is_ne_id(policy.peer)) return Error(ErrorKind::invalid, name + ": that is no NeID");
  std::size_t bytes = policy.agreement.size();
  for (const KeptPolicy& kept : policies_) bytes += kept.agreement.size();
  if (policies_.size() >= most_policies || bytes > most_agreements ||
      policy.agreement.size() > KeptPolicy::most_agreement) {
    return Error(ErrorKind::limit, name + ": it is too long, or too many policies are kept")
        .with_hint("forget those that are retired");
  }
  policy.state = PolicyState::agreed;
  policies_.insert(std::ranges::upper_bound(policies_, policy, comes_before), std::move(policy));
  return {};
}

Result<void> Book::put_in_force(std::string_view peer, std::uint64_t version) {
  KeptPolicy* const wanted = find(peer, version);
  if (wanted == nullptr) {
    return Error(ErrorKind::not_found, name_of(peer, version) + " is not agreed");
  }
  if (wanted->state == PolicyState::in_force) return {};
  if (highest_run_.size() >= most_peers && !highest_run_.contains(peer)) {
    return Error(ErrorKind::limit, "there were " + std::to_string(most_peers) + " peers already");
  }
  const std::uint64_t highest = highest_run(peer);
  if (wanted->state == PolicyState::retired || version <= highest) {
    return Error(ErrorKind::denied, name_of(peer, version) + ": version " +
                                        std::to_string(highest) + " has been run already")
        .with_hint("to go back to what it says, agree on it again with a higher version");
  }
  retire(peer);
  wanted->state = PolicyState::in_force;
  highest_run_.insert_or_assign(std::string(peer), version);
  return {};
}

void Book::retire(std::string_view peer) noexcept {
  for (KeptPolicy& kept : policies_) {
    if (kept.peer == peer && kept.state == PolicyState::in_force) {
      kept.state = PolicyState::retired;
    }
  }
}

Result<void> Book::forget(std::string_view peer, std::uint64_t version) {
  const KeptPolicy* const kept = find(peer, version);
  if (kept == nullptr) return Error(ErrorKind::not_found, name_of(peer, version) + " is not kept");
  if (kept->state == PolicyState::in_force) {
    return Error(ErrorKind::denied, name_of(peer, version) + " is in force");
  }
  policies_.erase(policies_.begin() + (kept - policies_.data()));
  return {};
}

Result<void> Book::note_approval(TakenApproval approval) {
  if (approval.taken < WallTime()) return Error(ErrorKind::invalid, "an approval of before 1970");
  // Only a record: the oldest goes.
  if (approvals_.size() >= most_approvals) approvals_.erase(approvals_.begin());
  approvals_.push_back(approval);
  return {};
}

Result<std::vector<std::uint8_t>> Book::encode(const tpm::Digest& clear) const {
  CborWriter out(most_encoded);
  out.map(5).key(0).number(format).key(1).bytes(clear.bytes()).key(2).array(policies_.size());
  for (const KeptPolicy& kept : policies_) {
    out.map(5).key(0).text(kept.peer).key(1).number(kept.version);
    out.key(2).bytes(kept.core_properties.bytes());
    out.key(3).number(static_cast<std::uint64_t>(kept.state)).key(4).bytes(kept.agreement);
  }
  out.key(3).array(highest_run_.size());
  for (const auto& [peer, version] : highest_run_) {
    out.map(2).key(0).text(peer).key(1).number(version);
  }
  out.key(4).array(approvals_.size());
  for (const TakenApproval& taken : approvals_) {
    out.map(2).key(0).bytes(taken.approval.bytes());
    out.key(1).number(static_cast<std::uint64_t>(to_time_t(taken.taken)));
  }
  return out.finish(what);
}

namespace {

Result<std::vector<KeptPolicy>> read_policies(CborReader& in) {
  CS_TRY(const std::size_t count, in.array("the policies", most_policies));
  std::vector<KeptPolicy> policies;
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(KeptPolicy policy, read_policy(in));
    if (!policies.empty() && !comes_before(policies.back(), policy)) {
      return in.wrong("a policy", "is not in order");
    }
    policies.push_back(std::move(policy));
  }
  return policies;
}

using HighestRun = std::map<std::string, std::uint64_t, std::less<>>;

Result<HighestRun> read_highest_run(CborReader& in) {
  CS_TRY(const std::size_t count, in.array("the versions run", Book::most_peers));
  HighestRun highest;
  for (std::size_t i = 0; i < count; ++i) {
    CS_CHECK(in.begin_map("a version run", 2));
    CS_CHECK(in.key(0, "a peer"));
    CS_TRY(std::string peer, read_peer(in));
    CS_CHECK(in.key(1, "a version"));
    CS_TRY(const std::uint64_t version, read_version(in));
    CS_CHECK(in.end_map("a version run"));
    if (!highest.empty() && peer <= highest.rbegin()->first) {
      return in.wrong("a version run", "is not in order");
    }
    highest.emplace_hint(highest.end(), std::move(peer), version);
  }
  return highest;
}

Result<std::vector<TakenApproval>> read_approvals(CborReader& in) {
  CS_TRY(const std::size_t count, in.array("the approvals", Book::most_approvals));
  std::vector<TakenApproval> approvals;
  for (std::size_t i = 0; i < count; ++i) {
    CS_TRY(const TakenApproval approval, read_approval(in));
    approvals.push_back(approval);
  }
  return approvals;
}

// What no sequence of agree, put_in_force and retire leaves behind.
Result<void> check_states(const CborReader& in, const std::vector<KeptPolicy>& policies,
                          const HighestRun& highest) {
  const KeptPolicy* in_force = nullptr;
  for (const KeptPolicy& kept : policies) {
    if (kept.state == PolicyState::agreed) continue;
    const auto run = highest.find(kept.peer);
    if (run == highest.end() || kept.version > run->second) {
      return in.wrong("a policy", "was run, but no version is known to have been");
    }
    if (kept.state != PolicyState::in_force) continue;
    if ((in_force != nullptr && in_force->peer == kept.peer) || kept.version < run->second) {
      return in.wrong("a policy", "is in force, and a newer one was run");
    }
    in_force = &kept;
  }
  return {};
}

}  // namespace

Result<Book> Book::decode(ByteView bytes, const tpm::Digest& clear) {
  CborReader in(bytes, what);
  Book book;
  CS_CHECK(in.begin_map("it", 5));
  CS_CHECK(in.key(0, "the version"));
  CS_TRY(const std::uint64_t found, in.number("the version"));
  if (found != format) return in.wrong("the version", "is not 1");
  CS_CHECK(in.key(1, "the clear part's digest"));
  CS_TRY(const tpm::Digest digest, read_digest(in, "the clear part's digest"));
  if (digest != clear) {
    return Error(ErrorKind::unverified, "the store's clear part is not the one that was written")
        .with_hint("somebody has changed it: NeID, counter, keys or what is to be extended");
  }
  CS_CHECK(in.key(2, "the policies"));
  CS_TRY(book.policies_, read_policies(in));
  CS_CHECK(in.key(3, "the versions run"));
  CS_TRY(book.highest_run_, read_highest_run(in));
  CS_CHECK(in.key(4, "the approvals"));
  CS_TRY(book.approvals_, read_approvals(in));
  CS_CHECK(in.end_map("it"));
  CS_CHECK(in.end());
  CS_CHECK(check_states(in, book.policies_, book.highest_run_));
  return book;
}

}  // namespace cs::keyms
