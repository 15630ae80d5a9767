// SPDX-License-Identifier: GPL-3.0-or-later
#include <netinet/in.h>

#include <limits>

#include "keyms/policy/difference_parts.h"
#include "keyms/policy/words.h"

namespace cs::keyms {
namespace {

using enum Effect;
using xfrm::Traffic;
using xfrm::Tunnel;

// --- what is protected ---------------------------------------------------------------------------

bool covers(const Traffic& all, const Traffic& part) noexcept {
  return all.network.contains(part.network) &&
         (all.protocol == 0 || all.protocol == part.protocol) &&
         (all.ports.mask == 0 || all.ports == part.ports);
}

std::vector<Traffic> without(const std::vector<Traffic>& all, const std::vector<Traffic>& some) {
  std::vector<Traffic> out;
  std::ranges::copy_if(all, std::back_inserter(out), [&](const Traffic& one) {
    return std::ranges::find(some, one) == some.end();
  });
  return out;
}

bool covered_by(const Traffic& one, const std::vector<Traffic>& all) {
  return std::ranges::any_of(all, [&](const Traffic& wide) { return covers(wide, one); });
}

void compare_traffic(const std::vector<Traffic>& before, const std::vector<Traffic>& after,
                     const std::string& of, PartChanges& out) {
  std::vector<Traffic> gone = without(before, after);
  std::vector<Traffic> added = without(after, before);
  for (const Traffic& old : gone) {
    const auto now = std::ranges::find_if(
        added, [&](const Traffic& one) { return covers(one, old) || covers(old, one); });
    if (now != added.end()) {
      const bool more = covers(*now, old);
      out.add(more ? wider : narrower, text(old) + of + " becomes " + text(*now) +
                                           (more ? ": more is protected" : ": less is protected"));
      added.erase(now);
    } else if (covered_by(old, after)) {
      out.add(other, text(old) + of + " is named no longer, and still protected");
    } else {
      out.add(narrower, text(old) + of + " is protected no longer");
    }
  }
  for (const Traffic& one : added) {
    covered_by(one, before) ? out.add(other, text(one) + of + " is named, and was protected")
                            : out.add(wider, text(one) + of + " is protected too");
  }
}

// --- how -----------------------------------------------------------------------------------------

// Bits of the key that keeps a proposal's packets secret, or with AH genuine. The salt, which the
// kernel counts as key, is none of it.
std::uint32_t strength(const xfrm::Proposal& proposal) {
  const auto& keeps = proposal.aead         ? proposal.aead
                      : proposal.encryption ? proposal.encryption
                                            : proposal.authentication;
  if (!keeps || keeps->name.starts_with("rfc4543")) return 0;
  const bool salted = keeps->name.starts_with("rfc4106") || keeps->name.starts_with("rfc3686") ||
                      keeps->name.starts_with("rfc7539");
  const std::uint32_t salt = salted ? 32 : keeps->name.starts_with("rfc4309") ? 24 : 0;
  return keeps->key_bits - std::min(keeps->key_bits, salt);
}

std::uint32_t weakest(const Tunnel& tunnel) {
  std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
  for (const xfrm::Proposal& one : tunnel.proposals) least = std::min(least, strength(one));
  return least;
}

std::string proposals_text(const Tunnel& tunnel) {
  std::string out;
  for (const xfrm::Proposal& one : tunnel.proposals) {
    out += (out.empty() ? "" : ", ") + xfrm::words_of(one).value_or("?");
  }
  return out;
}

void compare_algorithms(const Tunnel& before, const Tunnel& after, PartChanges& out) {
  const bool was_secret = before.protocol == IPPROTO_ESP;
  const bool is_secret = after.protocol == IPPROTO_ESP;
  out.becomes(is_secret ? stronger : weaker, "protocol", word_for(ipsec_words, before.protocol),
              word_for(ipsec_words, after.protocol));
  const std::uint32_t was = weakest(before);
  const std::uint32_t now = weakest(after);
  const bool same_kind = was_secret == is_secret;
  out.becomes(same_kind && was != now ? (was < now ? stronger : weaker) : other, "proposals",
              proposals_text(before), proposals_text(after));
}

// A mark that goes is the loss of what it kept out.
void compare_mark(const std::string& what, const xfrm::Mark& before, const xfrm::Mark& after,
                  PartChanges& out) {
  const Effect effect = after.mask == 0 ? weaker : before.mask == 0 ? stronger : other;
  out.becomes(effect, what, mark_text(before), mark_text(after));
}

void compare_rest(const Tunnel& before, const Tunnel& after, PartChanges& out) {
  const auto use = [](xfrm::Use value) { return word_for(use_words, value); };
  out.becomes(other, "extended sequence numbers:", use(before.extended_sequence_numbers),
              use(after.extended_sequence_numbers));
  out.becomes(other, "encapsulation in UDP:", use(before.udp_encapsulation),
              use(after.udp_encapsulation));
  out.becomes(other, "the least replay window", std::to_string(before.least_replay_window),
              std::to_string(after.least_replay_window));
  compare_mark("the mark of inbound SAs", before.inbound_mark, after.inbound_mark, out);
  compare_mark("the output mark", before.output_mark, after.output_mark, out);
  const auto policy_mark = [&](const char* what, const xfrm::Mark& old, const xfrm::Mark& now) {
    out.becomes(other, what, mark_text(old), mark_text(now));
  };
  policy_mark("the mark of inbound policies", before.inbound_policy_mark,
              after.inbound_policy_mark);
  policy_mark("the mark of outbound policies", before.outbound_policy_mark,
              after.outbound_policy_mark);
  out.becomes(other, "if_id", std::to_string(before.interface_id),
              std::to_string(after.interface_id));
  const auto for_ever = std::numeric_limits<std::uint64_t>::max();
  const auto lifetime = [&](const Tunnel& one) {
    return one.most_seconds == 0 ? for_ever : one.most_seconds;
  };
  out.grows<std::uint64_t>(
      "the longest life of an SA", lifetime(before), lifetime(after),
      [&](const std::uint64_t& most) {
        return most == for_ever ? "any"
                                : text(std::chrono::seconds(static_cast<std::int64_t>(most)));
      },
      weaker, stronger);
  if (before.forwards != after.forwards) {
    out.add(after.forwards ? wider : narrower, after.forwards
                                                   ? "what comes out of it may be forwarded"
                                                   : "what comes out of it is forwarded no longer");
  }
}

std::string address_text(const std::optional<net::Address>& address) {
  return address ? address->text() : "any";
}

void compare_tunnel(const Tunnel& before, const Tunnel& after, const NeIds& names,
                    PartChanges out) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    const xfrm::TunnelEnd& old = before.ends.at(i);
    const xfrm::TunnelEnd& now = after.ends.at(i);
    out.becomes(!now.address   ? weaker
                : !old.address ? stronger
                               : other,
                "the address of " + names.at(i), address_text(old.address),
                address_text(now.address));
    compare_traffic(old.traffic, now.traffic, " of " + names.at(i), out);
  }
  out.becomes(other, "mode", word_for(tunnel_mode_words, before.mode),
              word_for(tunnel_mode_words, after.mode));
  compare_algorithms(before, after, out);
  compare_rest(before, after, out);
}

// --- all of them ---------------------------------------------------------------------------------

std::string networks(const xfrm::TunnelEnd& end) {
  if (end.traffic.empty()) return address_text(end.address);
  const std::string first = text(end.traffic.front());
  return end.traffic.size() == 1
             ? first
             : first + " and " + std::to_string(end.traffic.size() - 1) + " more";
}

std::string between(const Tunnel& tunnel, const NeIds& names) {
  return networks(tunnel.ends[0]) + " of " + names[0] + " and " + networks(tunnel.ends[1]) +
         " of " + names[1];
}

std::string described(const xfrm::Bypass& bypass, const NeIds& names) {
  return text(bypass.here) + " at " + names.at(index(bypass.at)) + " with " + text(bypass.there);
}

// both(before, after), or one(which, added) of what has no other of its name.
template <class T, class Both, class One>
void by_name(const std::vector<T>& before, const std::vector<T>& after, Both both, One one) {
  for (const T& old : before) {
    const auto now = std::ranges::find(after, old.name, &T::name);
    now == after.end() ? one(old, false) : both(old, *now);
  }
  for (const T& now : after) {
    if (std::ranges::find(before, now.name, &T::name) == before.end()) one(now, true);
  }
}

}  // namespace

void compare_tunnels(const CorePolicy& before, const CorePolicy& after, const NeIds& names,
                     std::vector<Change>& out) {
  const xfrm::Agreement& old = before.agreement;
  const xfrm::Agreement& now = after.agreement;
  by_name(
      old.tunnels, now.tunnels,
      [&](const Tunnel& a, const Tunnel& b) {
        compare_tunnel(a, b, names, {"tunnel " + b.name, out});
      },
      [&](const Tunnel& one, bool added) {
        PartChanges("tunnel " + one.name, out)
            .add(added ? wider : narrower,
                 (added ? "it is new, and protects " : "it goes, and no longer protects ") +
                     between(one, names));
      });
  by_name(
      old.bypasses, now.bypasses,
      [&](const xfrm::Bypass& a, const xfrm::Bypass& b) {
        const auto wide = [](const xfrm::Bypass& all, const xfrm::Bypass& part) {
          return all.at == part.at && covers(all.here, part.here) && covers(all.there, part.there);
        };
        PartChanges("bypass " + b.name, out)
            .becomes(wide(b, a)   ? weaker
                     : wide(a, b) ? stronger
                                  : other,
                     "in clear:", described(a, names), described(b, names));
      },
      [&](const xfrm::Bypass& one, bool added) {
        PartChanges("bypass " + one.name, out)
            .add(added ? weaker : stronger,
                 described(one, names) + (added ? " goes in clear" : " goes in clear no longer"));
      });
  PartChanges defaults("defaults", out);
  const auto compare = [&](const char* what, xfrm::Action a, xfrm::Action b) {
    defaults.grows<xfrm::Action>(
        what, a, b, [](const xfrm::Action& action) { return word_for(action_words, action); },
        stronger, weaker);
  };
  compare("packets in that fit no policy:", old.defaults.in, now.defaults.in);
  compare("packets forwarded that fit no policy:", old.defaults.forward, now.defaults.forward);
  compare("packets out that fit no policy:", old.defaults.out, now.defaults.out);
}

}  // namespace cs::keyms
