// SPDX-License-Identifier: GPL-3.0-or-later
#include <iomanip>
#include <ostream>

#include "keyms/daemon/control.h"
#include "tools/keymsd/daemon.h"
#include "tools/keymsd/keymsd.h"

namespace cs::keymsd {
namespace {

void write_certs(const Json& answer, std::ostream& out) {
  const Json& endpoint = part(answer, "endpoint");
  if (endpoint.empty()) {
    out << "this endpoint has no certificate now\n";
  } else {
    out << "endpoint certificate " << text(endpoint, "certificate") << "\n  from "
        << text(endpoint, "not_before") << " to " << text(endpoint, "not_after") << ", renewed at "
        << text(endpoint, "renews_at") << "\n";
  }
  const Json& keys = list(answer, "keys");
  if (keys.empty()) out << "no session key\n";
  for (const Json& key : keys) {
    out << std::left << std::setw(17) << text(key, "peer") << std::setw(9) << text(key, "direction")
        << " key " << std::setw(11) << number(key, "id") << std::setw(11) << text(key, "suite")
        << std::setw(8) << text(key, "mode") << " until " << text(key, "not_after") << "\n";
  }
}

class EventsReport {
 public:
  EventsReport(const EventsOptions& options, std::ostream& out) : options_(&options), out_(&out) {}

  // What came before may come again, to who follows and asks what was.
  void tell(const Json& event) {
    const std::uint64_t number_of_it = number(event, "number");
    if (number_of_it <= last_) return;
    last_ = number_of_it;
    const std::string peer = text(event, "peer");
    if (!options_->peer.empty() && peer != options_->peer) return;
    if (options_->asking.json) {
      *out_ << event.dump(-1, ' ', true, Json::error_handler_t::replace) << std::endl;
      return;
    }
    const std::string reason = text(event, "reason");
    *out_ << text(event, "time") << "  " << std::left << std::setw(10) << text(event, "event")
          << " " << (peer.empty() ? "" : peer + ": ") << (reason.empty() ? "" : reason + ": ")
          << text(event, "text");
    if (const std::uint64_t count = number(event, "count"); count > 1)
      *out_ << " (" << count << " times)";
    *out_ << std::endl;
  }

 private:
  const EventsOptions* options_;
  std::ostream* out_;
  std::uint64_t last_ = 0;
};

}  // namespace

Outcome certs(const Asking& asking, const Console& console) {
  Daemon daemon(asking.socket);
  return put({"certs", Json::object(), write_certs}, daemon, console, asking.json);
}

Outcome events(const EventsOptions& options, const Console& console) {
  Daemon daemon(options.asking.socket);
  EventsReport report(options, console.out);
  const auto lately = [&]() -> Result<void> {
    CS_TRY(const Json answer, daemon.ask("lately"));
    for (const Json& event : list(answer, "events")) report.tell(event);
    return {};
  };
  if (!options.follow) {
    const auto told = lately();
    return told.ok() ? Outcome::good : fail(told.error(), daemon, console, options.asking.json);
  }
  const auto followed = keyms::follow_daemon(
      options.asking.socket,
      [&](const Json& event) {
        report.tell(event);
        return static_cast<bool>(console.out);
      },
      lately);
  if (followed.ok()) return Outcome::good;
  // Nothing but keymsd's going ends it, or that it never came to it.
  const Outcome outcome = daemon.has_refused() ? Outcome::refused : Outcome::unreadable;
  return inspect::fail(followed.error(), outcome, options.asking.json, console.out, console.err);
}

}  // namespace cs::keymsd
