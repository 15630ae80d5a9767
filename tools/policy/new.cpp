// SPDX-License-Identifier: GPL-3.0-or-later
#include <functional>
#include <istream>
#include <ostream>

#include "keyms/policy/toml.h"
#include "keyms/policy/words.h"
#include "tools/policy/policy.h"

namespace cs::policy {
namespace {

constexpr int most_attempts = 5;

struct Question {
  std::string option;  // that answers it
  std::string words;
  bool has_to_be = true;
  std::function<bool()> is_answered;
  std::function<Result<void>(const std::string&)> take;
};

Result<void> take_ne_id(const std::string& text, std::string& out) {
  if (!keyms::is_ne_id(text)) {
    return Error(ErrorKind::invalid, "'" + text + "' is no name of a gateway")
        .with_hint("a lower-case letter, then lower-case letters, digits and '-', at most 16");
  }
  out = text;
  return {};
}

Result<void> take_networks(const std::string& text, std::vector<xfrm::Traffic>& out) {
  std::vector<xfrm::Traffic> all;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::string one = text.substr(begin, end - begin);
    std::erase(one, ' ');
    CS_TRY(const xfrm::Traffic parsed, keyms::parse_traffic(one));
    all.push_back(parsed);
    begin = end + 1;
  }
  out = std::move(all);
  return {};
}

std::vector<Question> questions_of_end(const std::string& which, keyms::DrawnGateway& gateway,
                                       xfrm::TunnelEnd& end) {
  const std::string it = which == "here" ? "this gateway" : "the other gateway";
  const std::string option = "--" + which;
  return {
      {option, "Name of " + it + ", as in berlin-1", true, [&] { return !gateway.ne_id.empty(); },
       [&](const std::string& text) { return take_ne_id(text, gateway.ne_id); }},
      {option + "-address", "Address of " + it + " (none if it changes, as behind NAT)", false,
       [&] { return end.address.has_value(); },
       [&](const std::string& text) -> Result<void> {
         CS_TRY(end.address, net::Address::parse(text));
         return {};
       }},
      {option + "-network", "Networks behind " + it + ", with commas between", true,
       [&] { return !end.traffic.empty(); },
       [&](const std::string& text) { return take_networks(text, end.traffic); }},
      {option + "-key", "Name of its attestation key, 000b… (none: to be filled in later)", false,
       [&] { return gateway.attestation_key.has_value(); },
       [&](const std::string& text) -> Result<void> {
         CS_TRY(gateway.attestation_key, keyms::parse_name(text));
         return {};
       }},
  };
}

// Once more where an answer is not understood; false: nobody answers.
bool ask(const Question& question, const Console& console) {
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    console.err << question.words << ": " << std::flush;
    std::string answer;
    if (!std::getline(console.in, answer)) return false;
    if (answer.empty() && !question.has_to_be) return true;
    const auto taken = question.take(answer);
    if (taken.ok()) return true;
    console.err << "  " << taken.error().message() << "\n";
  }
  return false;
}

Result<void> complete(NewOptions& options, const Console& console) {
  std::vector<Question> questions = questions_of_end("here", options.who.here, options.ends[0]);
  for (Question& one : questions_of_end("there", options.who.there, options.ends[1])) {
    questions.push_back(std::move(one));
  }
  std::string missing;
  for (const Question& question : questions) {
    if (question.is_answered()) continue;
    const bool answered = console.is_terminal && ask(question, console);
    if (!answered && question.has_to_be) missing += (missing.empty() ? "" : ", ") + question.option;
  }
  if (missing.empty()) return {};
  return Error(ErrorKind::invalid, "there is nobody to be asked, and missing is " + missing)
      .with_hint("give these options, or run it on a terminal");
}

}  // namespace

Outcome make_new(NewOptions options, const Console& console) {
  if (const auto done = complete(options, console); !done.ok()) {
    return inspect::fail(done.error(), Outcome::usage, false, console.out, console.err);
  }
  keyms::DrawOptions& who = options.who;
  if (who.name.empty()) who.name = who.here.ne_id + " and " + who.there.ne_id;
  // Whoever has an address can be reached there.
  for (std::size_t i = 0; i < 2; ++i) {
    keyms::DrawnGateway& gateway = i == 0 ? who.here : who.there;
    const auto& address = options.ends.at(i).address;
    if (!gateway.keymsd && address) gateway.keymsd = keyms::Endpoint{*address, keyms::keymsd_port};
  }
  xfrm::Tunnel tunnel;
  tunnel.name = options.tunnel;
  tunnel.ends = options.ends;
  tunnel.proposals = options.proposals;
  xfrm::Agreement agreement;
  agreement.tunnels.push_back(std::move(tunnel));
  const keyms::CorePolicy policy = keyms::draw(who, std::move(agreement));
  console.out << keyms::toml_text(policy);
  if (const auto problem = keyms::find_problem(policy)) {
    console.err << "to be filled in: " << (problem->part.empty() ? "" : problem->part + ": ")
                << problem->error.message() << "\n";
  }
  return Outcome::good;
}

}  // namespace cs::policy
