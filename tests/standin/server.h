// SPDX-License-Identifier: GPL-3.0-or-later
// keymsd's own end of docs/PROTOCOL.md, fed from a Scenario. For one thread.
#pragma once

#include "base/clock.h"
#include "keyms/daemon/signer_service.h"
#include "tests/standin/scenario.h"
#include "tests/standin/signing_desk.h"

namespace cs::standin {

class Server final : public keyms::LoopPart {
 public:
  Server(const Clock& clock, keyms::SignerListener listener, const Behaviour& behaviour);

  // Serves this scenario from now on; sends the differences.
  void change(Scenario scenario);

  void wait(keyms::Waits& waits) const override { service_.wait(waits); }
  Result<void> run() override;

 private:
  void add(const KeyName& name, const Key& key);
  [[nodiscard]] Result<void> try_to_add(const KeyName& name, const Key& key);
  [[nodiscard]] Result<SecretBytes> private_key(std::uint32_t key) const;

  const Clock* clock_;
  Scenario scenario_;
  SigningDesk desk_;
  keyms::SignerService service_;
  keyms::Status told_;
};

}  // namespace cs::standin
