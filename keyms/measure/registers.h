// SPDX-License-Identifier: GPL-3.0-or-later
// The two registers that keymsd extends, with their logs: what this gateway tells of itself beyond
// what firmware and kernel measure. docs/LOGS.md is the norm, docs/PROTOCOL.md says what follows.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "keyms/measure/findings.h"
#include "keyms/measure/predict.h"
#include "keyms/measure/story.h"
#include "tpm/device/session.h"
#include "tpm/seal/own_log.h"
#include "tpm/seal/pcr_state.h"

namespace cs::keyms {

struct RegisterOptions {
  std::uint32_t static_pcr = 15;
  tpm::CelRegister events{tpm::CelRegister::Kind::pcr, 13};
  bool resettable = false;  // PCR 16 and 23 may be taken, which root can reset
  // Of an event register that is an NV index: what lets extend it. The session must outlive it.
  tpm::Auth index_auth = {};
  tpm::SaltedSession* session = nullptr;
  // What others extend before us, as the configuration explains it.
  std::vector<tpm::ForeignEvent> explained_static = {};
  std::vector<tpm::ForeignEvent> explained_events = {};
  tpm::OwnLog::Place place;
};
// Refused: registers that are somebody else's, or that do not hold what was extended.
[[nodiscard]] Result<void> check_registers(const RegisterOptions& options);

// Whatever is told twice is extended once: each call only brings the logs to what it says. So after
// a restart everything may be told again. After an error, disk full or TPM lost, nothing is certain
// but that no peer and no sealed secret may be trusted to know: close the gate, then reopen().
// Not for two threads at a time.
class Registers {
 public:
  // The static register is brought to what is in force; where this boot's log says something else,
  // it is left as it is, and as_wanted() tells. Refused besides: what OwnLog::open refuses, and a
  // log that tells no story.
  [[nodiscard]] static Result<Registers> open(tpm::Device& device, RegisterOptions options,
                                              InForce wanted);
  // After an error. After a TPM reset everything begins anew: certificates and what was measured
  // have to be told again, reset_count() has changed.
  [[nodiscard]] Result<void> reopen(tpm::Device& device);
  [[nodiscard]] std::uint32_t reset_count() const noexcept { return reset_count_; }

  // Refused (unverified), in words: this boot's static log and what is in force differ.
  [[nodiscard]] Result<void> as_wanted() const;
  // A policy comes into force, in place of those in `instead`.
  [[nodiscard]] Result<void> apply(tpm::Device& device, const Hash& value,
                                   const std::set<Hash>& instead = {});
  // It is in force no longer; the register keeps what it was told.
  void retire(const Hash& value);

  // Of an endpoint's certificate, its DER's hash. What was revoked is not valid again.
  [[nodiscard]] Result<void> certificate_valid(tpm::Device& device, const Hash& certificate);
  [[nodiscard]] Result<void> certificate_revoked(tpm::Device& device, const Hash& certificate);
  // What the kernel does, while it is as agreed.
  [[nodiscard]] Result<void> measured(tpm::Device& device, const Hash& policies);

  // All that differs now (xfrm::Watcher::drift()): what is new is drift, what has gone is healed,
  // in both logs; what could not be told is told after reopen(), even if it has gone by then. To be
  // called after each judging, and once a minute while there is drift.
  // `awaited`, of all: is no drift unless it stands open already.
  [[nodiscard]] Result<void> found(tpm::Device& device, std::set<xfrm::Difference> all,
                                   const std::set<xfrm::Difference>& awaited = {});

  [[nodiscard]] const RegisterStory& static_story() const noexcept { return static_.story; }
  [[nodiscard]] const RegisterStory& event_story() const noexcept { return events_.story; }
  // The logs themselves, for who takes a quote; null after an error.
  [[nodiscard]] const tpm::OwnLog* own_static_log() const noexcept {
    return static_.log ? &*static_.log : nullptr;
  }
  [[nodiscard]] const tpm::OwnLog* own_event_log() const noexcept {
    return events_.log ? &*events_.log : nullptr;
  }
  // Of the register as it is now, one per bank.
  [[nodiscard]] Result<std::vector<tpm::Digest>> values(tpm::Device& device, StoryOf of) const {
    return (of == StoryOf::static_register ? static_ : events_).own->read(device);
  }
  // As a verifier takes them.
  [[nodiscard]] Result<tpm::Bytes> static_log() const { return static_.read(); }
  [[nodiscard]] Result<tpm::Bytes> event_log() const { return events_.read(); }

 private:
  struct Part {
    std::unique_ptr<tpm::OwnRegister> own;
    RegisterStory story;
    std::optional<tpm::OwnLog> log = {};  // none: it could not be opened

    [[nodiscard]] Result<void> open(tpm::Device& device, const tpm::OwnLog::Place& place,
                                    const std::vector<tpm::ForeignEvent>& explained);
    [[nodiscard]] Result<void> check_usable(const tpm::Device& device) const;
    [[nodiscard]] Result<void> append(tpm::Device& device, tpm::CelEvent event, ByteView content);
    [[nodiscard]] Result<void> keep_room(tpm::Device& device);
    [[nodiscard]] Result<void> bring(tpm::Device& device, const std::set<std::string>& drifts);
    [[nodiscard]] Result<tpm::Bytes> read() const;
  };
  Registers(RegisterOptions options, InForce wanted, tpm::Device& device);
  [[nodiscard]] Result<void> extend_wanted(tpm::Device& device);
  [[nodiscard]] Result<void> bring_both(tpm::Device& device, const std::set<std::string>& drifts);

  RegisterOptions options_;
  InForce wanted_;
  Part static_;
  Part events_;
  Findings findings_;
  static constexpr std::size_t most_owed = 64;
  std::set<std::string> owed_;  // drift that may not be in the logs, as telling it failed
  std::uint32_t reset_count_ = 0;
};

}  // namespace cs::keyms
