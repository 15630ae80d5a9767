#!/usr/bin/perl
# SPDX-License-Identifier: GPL-3.0-or-later
# Pings the IPv6 address once behind each kind of extension header the kernel can be asked for, and prints the kinds that were
# answered. Perl, because a guest has it anyhow.
use strict;
use warnings;
use Socket qw(inet_pton pack_sockaddr_in6 AF_INET6 SOCK_RAW);

my ($IPV6, $ICMP6, $HOPOPTS, $RTHDR, $DSTOPTS, $ECHO, $REPLY) = (41, 58, 54, 57, 59, 128, 129);
my $address = inet_pton(AF_INET6, shift);
my $padding = pack('C8', 0, 0, 1, 4, 0, 0, 0, 0);  # options: next header (the kernel's), 8 bytes, PadN
my $segment = pack('C8', 0, 2, 4, 0, 0, 0, 0, 0) . $address;  # segment routing, at its last segment
my @kinds = (['hop-by-hop', $HOPOPTS, $padding], ['destination', $DSTOPTS, $padding], ['routing', $RTHDR, $segment]);
my $number = 0;
for my $kind (@kinds) {
  my ($name, $option, $header) = @$kind;
  socket(my $raw, AF_INET6, SOCK_RAW, $ICMP6) or die "socket: $!";
  setsockopt($raw, $IPV6, $option, $header) or die "$name: $!";
  my $tag = pack('nn', $$ & 0xffff, ++$number);
  send($raw, pack('CCn', $ECHO, 0, 0) . $tag . "extension header", 0, pack_sockaddr_in6(0, $address)) or die "send: $!";
  vec(my $ready = '', fileno($raw), 1) = 1;
  while (select(my $now = $ready, undef, undef, 0.5)) {
    recv($raw, my $said, 2048, 0);
    next unless unpack('C', $said) == $REPLY && substr($said, 4, 4) eq $tag;
    print "$name\n";
    last;
  }
}
