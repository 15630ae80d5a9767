// SPDX-License-Identifier: GPL-3.0-or-later
#include "xfrm/vici/sas.h"

#include <netinet/in.h>

#include <array>
#include <charconv>
#include <string_view>

#include "xfrm/vici/message.h"

namespace cs::vici {
namespace {

// Where `list-sa` says it: the IKE SA, its list of children, a child, with each one's values
// within.
constexpr std::size_t ike_depth = 1;
constexpr std::size_t children_depth = 2;
constexpr std::size_t child_depth = 3;

Error wrong(const Element& said, std::string_view wanted) {
  return {ErrorKind::invalid, "reading the IKE daemon's SAs: " + std::string(said.name) + " is '" +
                                  std::string(said.value.substr(0, 64)) + "', not " +
                                  std::string(wanted)};
}

Result<std::uint32_t> hex_of(const Element& said) {
  std::uint32_t number = 0;
  const char* end = said.value.data() + said.value.size();
  const auto [stopped, error] = std::from_chars(said.value.data(), end, number, 16);
  if (error != std::errc() || stopped != end) return wrong(said, "a number of 32 bits in hex");
  return number;
}

Result<std::uint8_t> protocol_of(const Element& said) {
  if (said.value == "ESP") return std::uint8_t{IPPROTO_ESP};
  if (said.value == "AH") return std::uint8_t{IPPROTO_AH};
  return wrong(said, "ESP or AH");
}

// No name of a configuration is as long.
std::string short_text(const Element& said) {
  return std::string(said.value.substr(0, 255));
}

std::uint32_t* number_field(ChildSa& child, std::string_view name) {
  struct Field {
    std::string_view name;
    std::uint32_t* place;
  };
  const std::array fields{
      Field{"spi-in", &child.spi_in},
      Field{"spi-out", &child.spi_out},
      Field{"cpi-in", &child.compression_in},
      Field{"cpi-out", &child.compression_out},
      Field{"mark-in", &child.mark_in.value},
      Field{"mark-mask-in", &child.mark_in.mask},
      Field{"mark-out", &child.mark_out.value},
      Field{"mark-mask-out", &child.mark_out.mask},
      Field{"if-id-in", &child.interface_id_in},
      Field{"if-id-out", &child.interface_id_out},
  };
  for (const Field& field : fields) {
    if (field.name == name) return field.place;
  }
  return nullptr;
}

Result<void> take_child(ChildSa& child, const Element& said) {
  if (std::uint32_t* const place = number_field(child, said.name)) {
    CS_TRY(*place, hex_of(said));
  } else if (said.name == "name") {
    child.name = short_text(said);
  } else if (said.name == "state") {
    child.state = short_text(said);
  } else if (said.name == "mode") {
    child.mode = short_text(said);
  } else if (said.name == "protocol") {
    CS_TRY(child.protocol, protocol_of(said));
  } else if (said.name == "encap") {
    child.encapsulated = said.value == "yes";
  }
  return {};
}

// "%any" while nobody knows it.
void take_host(std::optional<net::Address>& host, const Element& said) {
  if (auto address = net::Address::parse(said.value); address.ok()) host = *address;
}

}  // namespace

Result<void> parse_list_sa(ByteView message, std::vector<ChildSa>& into) {
  using Type = Element::Type;
  Elements elements(message);
  ChildSa ike;  // what all of its children have
  const std::size_t first = into.size();
  bool in_children = false;
  while (true) {
    CS_TRY(const auto element, elements.next());
    if (!element) break;
    const std::size_t depth = elements.depth();
    if (element->type == Type::section_start) {
      if (depth == ike_depth) ike.ike = element->name;
      if (depth == children_depth) in_children = element->name == "child-sas";
      if (depth == child_depth && in_children) into.emplace_back();
    } else if (element->type == Type::key_value) {
      if (depth == ike_depth && element->name == "local-host") take_host(ike.local, *element);
      if (depth == ike_depth && element->name == "remote-host") take_host(ike.remote, *element);
      if (depth == child_depth && in_children) CS_CHECK(take_child(into.back(), *element));
    }
  }
  for (std::size_t i = first; i < into.size(); ++i) {
    into[i].ike = ike.ike;
    into[i].local = ike.local;
    into[i].remote = ike.remote;
  }
  return {};
}

Result<IkeSa> parse_ike_sa(ByteView message) {
  using Type = Element::Type;
  Elements elements(message);
  IkeSa ike;
  while (true) {
    CS_TRY(const auto element, elements.next());
    if (!element) return ike;
    if (elements.depth() != ike_depth) continue;
    if (element->type == Type::section_start) {
      ike.name = element->name;
    } else if (element->type == Type::key_value && element->name == "uniqueid") {
      const char* end = element->value.data() + element->value.size();
      const auto [stopped, error] = std::from_chars(element->value.data(), end, ike.id);
      if (error != std::errc() || stopped != end) return wrong(*element, "a number of 32 bits");
    } else if (element->type == Type::key_value && element->name == "local-host") {
      take_host(ike.local, *element);
    } else if (element->type == Type::key_value && element->name == "remote-host") {
      take_host(ike.remote, *element);
    } else if (element->type == Type::key_value && element->name == "state") {
      ike.connecting = element->value == "CONNECTING";
    }
  }
}

}  // namespace cs::vici
