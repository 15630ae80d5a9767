// SPDX-License-Identifier: GPL-3.0-or-later
// The way of a statement to a key in the TPM and back: nfq-signer's exchange, the socket, keymsd's
// TpmRootSigner. Both ends in this process, each with a thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "keyms/signer_channel.h"
#include "keyms/tpm_root_signer.h"
#include "nfq-signer/key.h"
#include "nfq-signer/remote_signer.h"
#include "tpm/device/owner.h"

namespace cs::bench {

class TpmSigning {
 public:
  struct Options {
    std::string tcti;
    std::string socket;  // a path nothing is at
    KeyScope scope;
    LaneRange lanes;
  };
  // Makes a key in the TPM that signs while PCR 0 to 7 are what they are now. The clock must
  // outlive it.
  static Result<std::unique_ptr<TpmSigning>> start(const Clock& clock, const Options& options);
  TpmSigning(const TpmSigning&) = delete;
  TpmSigning& operator=(const TpmSigning&) = delete;
  TpmSigning(TpmSigning&&) = delete;
  TpmSigning& operator=(TpmSigning&&) = delete;
  ~TpmSigning();

  [[nodiscard]] const std::array<std::uint8_t, 65>& public_key() const noexcept {
    return public_key_;
  }
  // For a worker whose lane begins anew; so do all others.
  Result<std::unique_ptr<RootSigner>> make_signer();
  [[nodiscard]] tpm::Owner& owner() noexcept { return *owner_; }
  // Why the TPM signed nothing the last time it did not; empty: it always did.
  [[nodiscard]] std::string last_failure();

 private:
  TpmSigning(const Clock& clock, Options options, keyms::SignerListener listener,
             keyms::KeymsdConnection keymsd)
      : clock_(clock),
        options_(std::move(options)),
        listener_(std::move(listener)),
        keymsd_(std::move(keymsd)) {}
  Result<void> make_key();
  void serve();
  Result<void> serve(keyms::SignerConnection& connection);
  void forward();
  Result<void> receive_replies();
  Result<void> send_requests();

  const Clock& clock_;
  Options options_;
  keyms::SignerListener listener_;  // of serve()
  keyms::KeymsdConnection keymsd_;  // of forward()
  std::unique_ptr<tpm::Owner> owner_;
  std::array<std::uint8_t, 65> public_key_{};
  tpm::KeyBlobs blobs_;
  tpm::SigningKey::Policy policy_;
  std::shared_ptr<SignatureExchange> exchange_;

  std::mutex mutex_;  // of the next two
  std::unique_ptr<keyms::TpmRootSigner> signer_;
  std::string last_failure_;

  std::vector<SignatureExchange::Request> requests_;
  std::vector<keyms::TpmRootSigner::Answer> answers_;
  std::atomic<bool> stopping_{false};
  std::thread serving_;
  std::thread forwarding_;
};

}  // namespace cs::bench
