// SPDX-License-Identifier: GPL-3.0-or-later
#include "keyms/daemon/control_verbs.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/base64.h"
#include "base/fingerprint.h"
#include "base/hex.h"
#include "base/rfc3339.h"
#include "keyms/policy/encode.h"

namespace cs::keyms {
namespace {

using nlohmann::json;

constexpr std::size_t most_name = 64;
constexpr std::size_t most_words = 200;
constexpr std::int64_t most_wait = 600;
constexpr std::size_t most_approval = std::size_t{256} * 1024;

// What a handler cannot do without.
Result<Conductor*> conductor_of(const Asked& asked) {
  Running* const running = asked.state.running();
  if (running != nullptr && running->conductor) return running->conductor.get();
  return Error(ErrorKind::closed, "this gateway's store is not open: " + asked.state.about().locked)
      .with_hint("countersign recover says what mends it");
}

Result<std::string> text_in(const Asked& asked, const char* name, std::size_t most) {
  const auto found = asked.arguments.find(name);
  if (found == asked.arguments.end() || !found->is_string() ||
      found->get_ref<const std::string&>().empty() ||
      found->get_ref<const std::string&>().size() > most) {
    return Error(ErrorKind::invalid, "the request has no \"" + std::string(name) +
                                         "\" of at most " + std::to_string(most) + " bytes");
  }
  return found->get<std::string>();
}

Result<Bytes> bytes_in(const Asked& asked, const char* name, std::size_t most) {
  CS_TRY(const std::string text, text_in(asked, name, (most + 2) / 3 * 4));
  auto bytes = base64_decode(text, most);
  if (!bytes.ok()) return std::move(bytes).error().context("\"" + std::string(name) + "\"");
  return bytes;
}

Result<std::chrono::seconds> seconds_in(const Asked& asked, const char* name, std::int64_t most) {
  const auto found = asked.arguments.find(name);
  if (found == asked.arguments.end() || !found->is_number_integer() ||
      found->get<std::int64_t>() < 1 || found->get<std::int64_t>() > most) {
    return Error(ErrorKind::invalid, "the request has no \"" + std::string(name) + "\" from 1 to " +
                                         std::to_string(most) + " seconds");
  }
  return std::chrono::seconds(found->get<std::int64_t>());
}

Result<Counterpart*> counterpart_in(const Asked& asked) {
  CS_TRY(const std::string name, text_in(asked, "peer", most_name));
  CS_TRY(Conductor * conductor, conductor_of(asked));
  return conductor->find(name);
}

json plan_json(const Plan& plan) {
  std::vector<std::string> changes = plan.changes;
  changes.push_back(plan.peer + " refuses to attest until version " + std::to_string(plan.version) +
                    " is applied there, too");
  return {{"peer", plan.peer},
          {"version", plan.version},
          {"value", hex_encode(plan.value)},
          {"fingerprint", fingerprint_text(plan.value)},
          {"changes", changes},
          {"now", hex_encode(plan.now.bytes())},
          {"at_start", hex_encode(plan.at_start.bytes())},
          {"refused_by", json::array()},
          {"confirm_by", nullptr}};
}

template <class T>
struct Inside;
template <class T>
struct Inside<Result<T>> {
  using type = T;
};

// Whatever comes later is answered with `made` of it.
template <class T, class Make>
auto reply_with(const Asked& asked, Make make) {
  return [reply = asked.reply, make](Result<T> result) {
    if (!result.ok()) {
      reply(std::move(result).error());
    } else if constexpr (std::is_void_v<T>) {
      reply(make());
    } else {
      reply(make(std::move(result).value()));
    }
  };
}

// A job for the machine, whose outcome is the answer. The machine is there, open or not. Behind all
// that keeps tunnels up: some of it anybody in the socket's group may ask for.
template <class Work, class Make>
Result<void> ask_machine(const Asked& asked, Work work, Make make) {
  Running* const running = asked.state.running();
  if (running == nullptr || !running->machine)
    return Error(ErrorKind::closed, asked.state.about().locked);
  using Outcome = typename Inside<std::invoke_result_t<Work&, tpm::Device&, Machine&>>::type;
  running->desk->ask(
      tpm::Priority::background,
      [machine = running->machine.get(), work = std::move(work)](tpm::Device& device) mutable {
        return work(device, *machine);
      },
      reply_with<Outcome>(asked, std::move(make)));
  return {};
}

Result<void> tell_status(const Asked& asked) {
  asked.reply(status_of(asked.state));
  return {};
}
Result<void> tell_peers(const Asked& asked) {
  asked.reply(peers_of(asked.state));
  return {};
}
Result<void> tell_certs(const Asked& asked) {
  asked.reply(certs_of(asked.state));
  return {};
}
Result<void> tell_lately(const Asked& asked) {
  asked.reply(json{{"schema", 1}, {"events", asked.state.events().lately()}});
  return {};
}
Result<void> tell_why(const Asked& asked) {
  CS_TRY(const Counterpart* peer, counterpart_in(asked));
  asked.reply(explanation_of(asked.state, *peer));
  return {};
}

Result<void> tell_logs(const Asked& asked) {
  return ask_machine(
      asked, [](tpm::Device& device, Machine& machine) { return machine.log_view(device); },
      [](const std::vector<LogView>& views) {
        json logs = json::array();
        for (const LogView& one : views) {
          logs.push_back({{"name", one.name},
                          {"register", one.reg},
                          {"value", one.value},
                          {"agrees", one.agrees},
                          {"why", one.why},
                          {"log", base64_encode(one.log)}});
        }
        return json{{"schema", 1}, {"logs", logs}};
      });
}

Result<void> attest(const Asked& asked) {
  CS_TRY(Counterpart * peer, counterpart_in(asked));
  CS_TRY(const std::chrono::seconds wait, seconds_in(asked, "wait", most_wait));
  peer->release();
  CS_TRY(Conductor * conductor, conductor_of(asked));
  conductor->attest(
      peer->name(), wait,
      reply_with<void>(asked, [&state = asked.state, name = peer->name()]() -> json {
        Running* const running = state.running();
        const auto found = running->conductor->find(name);
        return found.ok()
                   ? explanation_of(state, **found)
                   : json{{"peer", name}, {"standing", "closed"}, {"reasons", json::array()}};
      }));
  return {};
}

Result<void> acknowledge(const Asked& asked) {
  CS_TRY(Counterpart * peer, counterpart_in(asked));
  const std::uint64_t records = peer->acknowledge();
  asked.state.events().tell({EventKind::notice, peer->name(), "acknowledged",
                             "an operator has acknowledged what had drifted there"});
  static_cast<void>(peer->pair().attest());
  asked.reply(json{{"peer", peer->name()}, {"records", records}});
  return {};
}

Result<void> deny(const Asked& asked) {
  CS_TRY(Counterpart * peer, counterpart_in(asked));
  CS_TRY(const std::string why, text_in(asked, "why", most_words));
  peer->hold(why);
  asked.reply(json{{"peer", peer->name()}});
  return {};
}

Result<void> sign(const Asked& asked) {
  CS_TRY(const Bytes bytes, bytes_in(asked, "policy", max_policy_bytes));
  CS_TRY(CorePolicy policy, decode_policy(bytes));
  CS_TRY(const Conductor* conductor, conductor_of(asked));
  const auto end = end_of(policy, conductor->facts().ne_id);
  if (!end) return Error(ErrorKind::denied, "the policy is none of " + conductor->facts().ne_id);
  return ask_machine(
      asked,
      [policy = std::move(policy)](tpm::Device& device, Machine& machine) {
        return machine.sign_policy(device, policy);
      },
      [end = *end](const PolicySignature& made) {
        return json{{"key", base64_encode(made.key)},
                    {"signature", base64_encode(made.signature)},
                    {"end", end == xfrm::End::left ? "left" : "right"}};
      });
}

// Of a proposal, whose signature is missing.
Result<std::vector<std::string>> missing_in(const Bytes& agreement) {
  CS_TRY(const AgreementFile file, decode_agreement(agreement));
  CS_TRY(const AgreementVerdict verdict, verify(file));
  std::vector<std::string> out;
  for (const SignatureVerdict& one : verdict.signatures) {
    if (one.state != SignatureState::good) out.push_back(one.sentence);
  }
  return out;
}

Result<void> plan(const Asked& asked) {
  CS_TRY(Bytes agreement, bytes_in(asked, "agreement", max_agreement_file));
  CS_TRY(const std::vector<std::string> missing, missing_in(agreement));
  return ask_machine(
      asked,
      [agreement = std::move(agreement)](tpm::Device& device, Machine& machine) {
        return machine.plan(device, agreement);
      },
      [missing](const Plan& made) {
        json out = plan_json(made);
        out["refused_by"] = missing;
        return out;
      });
}

Result<void> apply(const Asked& asked) {
  CS_TRY(Bytes agreement, bytes_in(asked, "agreement", max_agreement_file));
  CS_TRY(Conductor * conductor, conductor_of(asked));
  std::optional<std::chrono::seconds> within;
  Bytes fallback;
  if (asked.arguments.contains("confirm_within")) {
    CS_TRY(within, seconds_in(asked, "confirm_within", Conductor::most_confirm.count()));
    CS_TRY(fallback, bytes_in(asked, "fallback", max_agreement_file));
  }
  conductor->apply(std::move(agreement), within, std::move(fallback),
                   reply_with<Plan>(asked, [&state = asked.state](const Plan& done) {
                     json out = plan_json(done);
                     const auto& pending = state.running()->conductor->pending();
                     if (const auto found = pending.find(done.peer); found != pending.end())
                       out["confirm_by"] = format_rfc3339(found->second.until_wall);
                     return out;
                   }));
  return {};
}

Result<void> confirm(const Asked& asked) {
  CS_TRY(const std::string peer, text_in(asked, "peer", most_name));
  CS_TRY(Conductor * conductor, conductor_of(asked));
  CS_TRY(const std::uint64_t version, conductor->confirm(peer));
  asked.reply(json{{"peer", peer}, {"version", version}});
  return {};
}

Result<void> roll_back(const Asked& asked) {
  if (asked.arguments.contains("agreement")) return apply(asked);
  CS_TRY(const std::string peer, text_in(asked, "peer", most_name));
  CS_TRY(Conductor * conductor, conductor_of(asked));
  conductor->roll_back(peer, reply_with<Plan>(asked, plan_json));
  return {};
}

Result<void> retire(const Asked& asked) {
  CS_TRY(const std::string peer, text_in(asked, "peer", most_name));
  CS_TRY(Conductor * conductor, conductor_of(asked));
  conductor->retire(peer, reply_with<void>(asked, [peer] { return json{{"peer", peer}}; }));
  return {};
}

Result<void> request(const Asked& asked) {
  Bytes agreement;
  if (asked.arguments.contains("agreement")) {
    CS_TRY(agreement, bytes_in(asked, "agreement", max_agreement_file));
  }
  return ask_machine(
      asked,
      [agreement = std::move(agreement)](tpm::Device& device, Machine& machine) {
        return agreement.empty() ? machine.approval_request(device)
                                 : machine.approval_request_for(device, agreement);
      },
      [](const Bytes& made) {
        return json{{"request", base64_encode(made)}};
      });
}

Result<void> approve(const Asked& asked) {
  CS_TRY(Bytes approval, bytes_in(asked, "approval", most_approval));
  return ask_machine(
      asked,
      [approval = std::move(approval)](tpm::Device& device, Machine& machine) {
        return machine.take_approval(device, approval);
      },
      [&state = asked.state](const std::string& text) {
        state.events().tell({EventKind::policy, "", "approved", text});
        state.try_again();
        if (state.running()->conductor) state.running()->conductor->look_at_lock();
        return json{{"text", text}};
      });
}

using Handler = Result<void> (*)(const Asked&);
struct Verb {
  std::string_view name;
  bool changes;
  Handler handler;
};

constexpr std::array verbs{Verb{"status", false, tell_status},
                           Verb{"peers", false, tell_peers},
                           Verb{"certs", false, tell_certs},
                           Verb{"lately", false, tell_lately},
                           Verb{"explain", false, tell_why},
                           Verb{"log", false, tell_logs},
                           Verb{"plan", false, plan},
                           Verb{"attest", true, attest},
                           Verb{"acknowledge", true, acknowledge},
                           Verb{"deny", true, deny},
                           Verb{"sign", true, sign},
                           Verb{"apply", true, apply},
                           Verb{"confirm", true, confirm},
                           Verb{"rollback", true, roll_back},
                           Verb{"retire", true, retire},
                           Verb{"request", true, request},
                           Verb{"approve", true, approve}};

}  // namespace

void answer(ControlState& state, const ControlServer::Request& request,
            const nlohmann::json& arguments, ControlServer::Reply reply) {
  const Asked asked{state, arguments, std::move(reply)};
  const auto* const verb = std::ranges::find(verbs, request.verb, &Verb::name);
  if (verb == verbs.end()) {
    asked.reply(
        Error(ErrorKind::unsupported, "keymsd has no verb \"" + as_text(request.verb) + "\""));
    return;
  }
  if (verb->changes && !request.may_change) {
    asked.reply(
        Error(ErrorKind::denied, "only root may ask for that").with_hint("run it with sudo"));
    return;
  }
  if (auto done = verb->handler(asked); !done.ok()) asked.reply(std::move(done).error());
}

}  // namespace cs::keyms
