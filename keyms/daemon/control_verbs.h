// SPDX-License-Identifier: GPL-3.0-or-later
// What is asked at the control socket, and the answers: docs/PROTOCOL.md, "The control socket".
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "keyms/daemon/config_watch.h"
#include "keyms/daemon/control.h"
#include "keyms/daemon/running.h"

namespace cs::keyms {

// What there is to tell of.
class ControlState {
 public:
  struct About {
    std::string release;
    WallTime since;
    std::string locked;  // why the store is not open; empty: it is
    ConfigWatch::Finding configuration;
  };
  ControlState() = default;
  ControlState(const ControlState&) = delete;
  ControlState& operator=(const ControlState&) = delete;
  ControlState(ControlState&&) = delete;
  ControlState& operator=(ControlState&&) = delete;
  virtual ~ControlState() = default;

  [[nodiscard]] virtual Running* running() = 0;  // null: not even a TPM
  [[nodiscard]] virtual Events& events() = 0;
  [[nodiscard]] virtual const Clock& clock() const = 0;
  [[nodiscard]] virtual About about() const = 0;
  // Something may have made it possible to open the store.
  virtual void try_again() = 0;
};

// One request, for whoever answers it.
struct Asked {
  ControlState& state;
  const nlohmann::json& arguments;
  ControlServer::Reply reply;
};
void answer(ControlState& state, const ControlServer::Request& request,
            const nlohmann::json& arguments, ControlServer::Reply reply);

// control_report.cpp: what there is to see.
[[nodiscard]] nlohmann::json status_of(ControlState& state);
[[nodiscard]] nlohmann::json peers_of(ControlState& state);
[[nodiscard]] nlohmann::json certs_of(ControlState& state);
[[nodiscard]] nlohmann::json explanation_of(ControlState& state, const Counterpart& peer);
// One line, for systemd.
[[nodiscard]] std::string summary_of(ControlState& state);

}  // namespace cs::keyms
