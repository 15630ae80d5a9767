// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/sa_removal.h"

#include <algorithm>
#include <utility>

#include "xfrm/install/request.h"
#include "xfrm/vici/client.h"
#include "xfrm/watch/reconciler.h"

namespace cs::keyms {
namespace {

using xfrm::SaId;
using xfrm::SaName;

// Two lists and the last termination, beside the time for all others, make half a second.
constexpr std::chrono::milliseconds patience{120};
constexpr std::chrono::milliseconds terminating{120};
constexpr std::chrono::seconds until_gone{2};
constexpr std::size_t deleted_at_once = 1024;

}  // namespace

SaRemoval::SaRemoval(std::string vici_socket, netlink::Socket socket, const Clock& clock,
                     std::function<void(const Error&)> trouble)
    : vici_socket_(std::move(vici_socket)),
      socket_(std::move(socket)),
      clock_(&clock),
      trouble_(std::move(trouble)) {}

void SaRemoval::begin(std::vector<xfrm::Address> peer, std::vector<SaId> sas) {
  pending_.push_back({std::move(peer), std::move(sas), vici_socket_.empty(), clock_->boot()});
}

std::optional<BootTime> SaRemoval::deadline() const noexcept {
  if (pending_.empty()) return std::nullopt;
  return std::ranges::min(pending_, {}, &Pending::next).next;
}

// One of them: the others are due at once, too, and another turn comes first.
void SaRemoval::run() {
  const BootTime now = clock_->boot();
  const auto due = std::ranges::find_if(pending_, [&](const auto& one) { return now >= one.next; });
  if (due == pending_.end()) return;
  if (std::exchange(due->told, true)) {
    if (delete_some(due->sas)) pending_.erase(due);
    return;
  }
  auto answered_for = tell_ike_daemon(*due);
  if (!answered_for.ok()) {
    trouble_(std::move(answered_for).error().context("ending the IKE SAs of a denied peer"));
    return;  // all of them are deleted in the next turn
  }
  std::vector<SaId> nobodys = due->sas;
  std::erase_if(nobodys, [&](const SaId& id) {
    return std::ranges::find(*answered_for, id) != answered_for->end();
  });
  due->sas = std::move(*answered_for);
  if (!delete_some(nobodys)) due->sas.insert(due->sas.end(), nobodys.begin(), nobodys.end());
  due->next = now + until_gone;
}

Result<std::vector<SaId>> SaRemoval::tell_ike_daemon(const Pending& pending) const {
  CS_TRY(vici::Client client, vici::Client::connect(vici_socket_, patience));
  CS_TRY(const auto children, client.list_sas());
  CS_TRY(const auto all, client.list_ike_sas());
  const BootTime until = clock_->boot() + terminating;
  for (const vici::IkeSa& ike : all) {
    const bool is_peers =
        ike.remote && std::ranges::find(pending.peer, *ike.remote) != pending.peer.end();
    // What is only being negotiated has nothing to be taken away, and ended now it would have the
    // kernel wait for its SAs for minutes.
    if (!is_peers || ike.connecting) continue;
    if (clock_->boot() >= until)
      return Error(ErrorKind::timed_out, "the IKE daemon has too many IKE SAs, or is too slow");
    const auto ended = client.terminate(ike.id);
    if (!ended.ok() && ended.error().kind() != ErrorKind::not_found) return Error(ended.error());
  }
  const std::vector<SaName> known = xfrm::known_sas(children);
  std::vector<SaId> answered_for = pending.sas;
  std::erase_if(answered_for, [&](const SaId& id) {
    return std::ranges::find(known, SaName{id.destination, id.protocol, id.spi}) == known.end();
  });
  return answered_for;
}

bool SaRemoval::delete_some(std::vector<SaId>& sas) {
  for (std::size_t i = 0; i < deleted_at_once && !sas.empty(); ++i) {
    const auto done = socket_.tell(xfrm::delete_sa_request(sas.back()), "deleting an SA");
    if (!done.ok() && done.error().kind() != ErrorKind::not_found) trouble_(done.error());
    sas.pop_back();
  }
  return sas.empty();
}

}  // namespace cs::keyms
