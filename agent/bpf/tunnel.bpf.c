// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fast path: executes the forwarding and ingress tables of the agent in the kernel.
 *
 * Two programs. "encapsulate" sits on the egress of every tunnel interface, "decapsulate" on the
 * ingress of every interface of the underlay. They know no technology: what to do is in the maps,
 * which the agent fills from the same tables that its userspace plane executes
 * (v6ferry/forwarding/table.py). v6ferry/forwarding/ebpf/layout.py says the same of the structures
 * below in Python; the two are compared when the object is loaded.
 *
 * A packet that needs thought goes on as if there were no program (TC_ACT_UNSPEC, so that filters
 * of others see it too): from the tunnel interface into the agent's TUN descriptor, from the
 * underlay into its raw socket. There the userspace plane decides, answers and counts. So wherever
 * anything is in doubt, hand_up() is right, and only slow.
 *
 * License: the programs are GPL-2.0-or-later, as the kernel's helpers want of them; the agent is
 * GPL-3.0-or-later, which that allows.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Newer than the headers this is compiled with. A kernel without them refuses the call. */
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)	/* BPF_F_ADJ_ROOM_DECAP_L3_IPV6, Linux 6.3 */
#define FIB_LOOKUP_SKIP_NEIGH (1U << 2)		/* BPF_FIB_LOOKUP_SKIP_NEIGH, Linux 6.3 */
#define FIB_LOOKUP_SRC (1U << 4)		/* BPF_FIB_LOOKUP_SRC, Linux 6.7 */

#define AF_INET 2
#define AF_INET6 10
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_REDIRECT 137
#define IPV4_MORE_FRAGMENTS_OR_OFFSET 0x3fff
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV6_MINIMUM_MTU 1280
#define ECN_MASK 3
#define ECN_DROP 255
#define NO_NEXT_HEADER 59

#define ACCEPTED_SELECTORS 2
#define SOURCE_SELECTORS 2
#define AUTOMATIC_SELECTORS 8		/* a power of two */
#define TEREDO_PORT 3544
#define NONCE_LENGTH 13		/* of the authentication encapsulation without a key */
#define SOLICITATION_LENGTH 48
#define ADVERTISEMENT_LENGTH 96
#define MOST_ANSWERS 1024
#define BUDGET_BITS 12
#define BUDGETS (1 << BUDGET_BITS)
#define BURST_SECONDS 2ULL
#define NANOSECONDS 1000000000ULL
#define CANDIDATES 16
#define REMEMBERED 1024			/* decisions a CPU; a power of two */
#define FEW 1024			/* interfaces and rules that are found without a search */
#define LARGEST_TABLE (1 << 20)
#define PORT_WORDS 1024			/* of 64 ports each */
#define MOST_TUNNELS 4096
#define MOST_UPLINKS 4096

/* Why a packet went no further; in the order of DROP_REASONS in layout.py. */
enum drop_reason {
	DROP_OUTER_SOURCE,
	DROP_OUTER_SOURCE_IS_OURS,
	DROP_INNER_SOURCE,
	DROP_INNER_DESTINATION,
	DROP_SOURCE_MISMATCH,
	DROP_ENDPOINT_REFUSED,
	DROP_ECN,
	DROP_SEND_REFUSED,
	DROP_TUNNEL_DOWN,
	DROP_LOOP_ENDPOINT,
	DROP_LOOP_SOURCE,
	DROP_LOOP_DESTINATION,
	DROP_REASONS,
	DROP_SLOTS = 16,		/* a power of two, so that a mask shows the bounds */
};

/* Why a packet went to the userspace plane; in the order of HandUp in layout.py. */
enum hand_up_reason {
	UP_NOT_IPV6,
	UP_LENGTH,
	UP_FRAGMENT,
	UP_OPTIONS,
	UP_CHECKSUM,
	UP_CONTROL,
	UP_MULTICAST,
	UP_NO_ENDPOINT,
	UP_NO_SOURCE,
	UP_WATCHED,
	UP_NO_ROUTE,
	UP_TOO_BIG,
	UP_OFFLOAD,
	UP_REFUSED,
	UP_REASONS,
	UP_SLOTS = 16,
};

/* Sets of addresses that tables have; see struct member_key. */
enum set {
	SET_LOCAL_ENDPOINT,
	SET_HOST_ENDPOINT,
	SET_HOST_ADDRESS,
	SET_WATCHED_ENDPOINT,
	SET_LISTED,
};

enum way {
	WAY_REFUSED,
	WAY_FIXED,
	WAY_EMBEDDED,
	WAY_PEER,
};

/* Whom an ingress rule accepts besides those that its selectors find. */
enum accept {
	ACCEPT_LISTED = 1,		/* outer sources of the SET_LISTED of the rule */
	ACCEPT_PEERS = 2,		/* the endpoint of the inner source as a peer */
	ACCEPT_ANYBODY = 4,
};

enum near {
	NEAR_REFUSED,
	NEAR_ACCEPTED,
	NEAR_EMBEDDED,
};

enum selector_flag {
	SELECTOR_HAS_PORT = 1,
	SELECTOR_INVERTED = 2,
};

enum tunnel_flag {
	TUNNEL_COPIES_DSCP = 1,
	TUNNEL_FOLLOWS_PATH_MTU = 2,
	TUNNEL_WATCHES_ENDPOINTS = 4,
	TUNNEL_HANDS_UP_REFUSED = 8,
	TUNNEL_CARRIES_COMPATIBLE = 16,
};

/* 128 bits, both halves in host byte order. */
struct address {
	__u64 high;
	__u64 low;
};

/* Bits of an IPv6 address that are an IPv4 address, and perhaps a port: table.Embedded. */
struct selector {
	struct address pattern;
	struct address pattern_mask;
	__u32 mask;
	__u32 common;
	__u8 shift;
	__u8 port_shift;
	__u8 flags;
	__u8 reserved[5];
};

struct endpoint {
	__be32 address;
	__be16 port;			/* 0 in protocol 41 */
	__be16 local_port;		/* ours; 0 for that of the tunnel */
};

/* Of the tunnel interface whose index is the key: table.Encapsulation. */
struct tunnel {
	__u32 flags;
	__u8 ttl;
	__u8 tos;
	__u8 source_selectors;
	__u8 automatic_selectors;
	__be32 default_source;		/* 0 leaves the choice to the kernel's routing */
	__be16 port;			/* ours in UDP; 0 for protocol 41 */
	__u16 reserved;
	struct selector sources[SOURCE_SELECTORS];
	struct selector automatic[AUTOMATIC_SELECTORS];
};

struct prefix_key {
	__u32 prefix_length;		/* that of the IPv6 prefix, and 32 for the tunnel */
	__u32 tunnel;
	__u8 address[16];
};

struct forwarding_rule {
	__u32 identifier;
	__u32 way;
	struct endpoint endpoint;
	struct selector selector;
};

struct ingress_rule {
	__u32 identifier;
	__u32 selectors;
	__u32 others;			/* enum accept */
	__u32 reserved;
	struct selector accept[ACCEPTED_SELECTORS];
};

/* Of inner addresses on the near side of a tunnel: table.NearRule. */
struct near_rule {
	__u32 accept;
	__u32 reserved;
	struct selector selector;
};

struct endpoint_key {
	__u32 prefix_length;		/* that of the IPv4 prefix, and 32 for the tunnel */
	__u32 tunnel;
	__be32 address;
};

struct peer_key {
	__u32 tunnel;
	__u8 address[16];
};

struct member_key {
	__u32 owner;			/* tunnel interface; for SET_LISTED, the rule */
	__u32 set;
	__u8 address[16];		/* IPv4 in the last four octets, zeros before */
};

struct candidates_key {
	__be32 destination;
	__be32 source;			/* 0 for any */
	__be16 port;			/* ours; 0 for protocol 41 */
	__u16 reserved;
};

/* Tunnels that may accept packets between two endpoints, in the order in which they are asked. */
struct candidates {
	__u32 count;			/* more than CANDIDATES if not all are here */
	__u32 tunnels[CANDIDATES];
};

struct traffic {
	__u64 packets_in;
	__u64 bytes_in;
	__u64 packets_out;
	__u64 bytes_out;
};

struct counters {
	struct traffic traffic;
	__u64 drops[DROP_SLOTS];
	__u64 handed_up[UP_SLOTS];
};

/* A Teredo solicitation, but for its nonce, and the address of ours that it came to. */
struct solicitation {
	__be32 destination;
	__u8 packet[SOLICITATION_LENGTH];
};

/* What is answered to it: table.Answer. */
struct answer {
	__u32 tunnel;
	__be32 source;
	__u32 rate;			/* datagrams a second to one address; 0 sets no limit */
	__u32 salt;			/* says which addresses share a budget */
	__u32 identifier;		/* of what counts them, as of a rule */
	__u8 packet[ADVERTISEMENT_LENGTH];
};

/* How much the addresses that share it may still be sent. */
struct budget {
	__u64 time;
	__u64 nanoseconds;		/* worth of datagrams at the rate */
};

/* Between whom a packet goes. */
struct ends {
	struct address source;
	struct address destination;
	__be32 outer_source;		/* on the way out 0, and the tunnel in place of the other one */
	__be32 outer_destination;
	__be16 outer_source_port;	/* both 0 but for UDP on the way in */
	__be16 port;
	__u32 reserved;
};

/* The same, with the inner addresses as they are in the packet. */
struct wire_ends {
	__u64 inner[4];			/* two words of the source, two of the destination */
	__u64 outer;
	__u64 ports;
};

/*
 * What the tables say of packets between two ends: that they go on, and how. It counts as long as
 * no table has changed since, which is what the generation is for.
 */
struct decision {
	struct wire_ends wire;
	struct ends ends;
	__u32 generation;
	__u32 rule;
	__u32 tunnel;			/* that accepts */
	__u32 reserved;
	struct endpoint endpoint;
	__be32 outer_source;		/* 0 leaves the choice to the kernel's routing */
	__u32 flags;			/* of the tunnel, as the next three */
	__u8 ttl;
	__u8 tos;
	__be16 port;
};

/* What is the same for all tunnels. */
struct common {
	__u32 generation;		/* the agent raises it whenever it has changed any of the tables */
	__u32 link_layer_length;	/* octets before inner IPv6 headers: 0 but in test runs */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct common);
} common SEC(".maps");

/*
 * The last decisions, each in the place that its ends point at; more than a packet's time saved.
 * Functions take the number of the place and not a pointer: those that take numbers alone are looked
 * at once by every verifier; before Linux 5.12 those that take a pointer are not.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REMEMBERED);
	__type(key, __u32);
	__type(value, struct decision);
} sent SEC(".maps"), received SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_TUNNELS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

/* Octets of the link-layer header, by index of the underlay's interface. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_UPLINKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} uplinks SEC(".maps");

/* The same and 1 for interfaces with small indexes; 0 if there is none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FEW);
	__type(key, __u32);
	__type(value, __u32);
} few_uplinks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct forwarding_rule);
} forwarding SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct ingress_rule);
} ingress SEC(".maps");

/* Of inner sources on the way out, and of inner destinations on the way in. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct near_rule);
} near_sources SEC(".maps"), near_destinations SEC(".maps");

/* Whether far ends may be spoken to. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint_key);
	__type(value, __u32);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct peer_key);
	__type(value, struct endpoint);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct member_key);
	__type(value, __u32);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct candidates_key);
	__type(value, struct candidates);
} candidates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MOST_TUNNELS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct counters);
} tunnel_counters SEC(".maps");

/* Solicitations that the agent has looked at, and answers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_ANSWERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct solicitation);
	__type(value, struct answer);
} answers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUDGETS);
	__type(key, __u32);
	__type(value, struct budget);
} budgets SEC(".maps");

/* UDP ports of ours, a bit each. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} ports SEC(".maps");

/* Packets, by rule. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2 * LARGEST_TABLE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} rule_counters SEC(".maps");

/* What passes tunnel interfaces with small indexes, and by rules with small identifiers. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FEW);
	__type(key, __u32);
	__type(value, struct traffic);
} few_traffic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FEW);
	__type(key, __u32);
	__type(value, __u64);
} few_rule_counters SEC(".maps");

/*
 * Both of these are functions of their own, and global: so the verifier takes the reason for unknown,
 * and lets it index the counters by its bounds alone. That needs no CAP_PERFMON.
 */
__attribute__((noinline)) int hand_up(__u32 tunnel, __u32 reason)
{
	struct counters *counters = bpf_map_lookup_elem(&tunnel_counters, &tunnel);

	if (counters)
		counters->handed_up[reason & (UP_SLOTS - 1)]++;
	return TC_ACT_UNSPEC;
}

__attribute__((noinline)) int drop(__u32 tunnel, __u32 reason, __u32 packets)
{
	struct counters *counters = bpf_map_lookup_elem(&tunnel_counters, &tunnel);

	if (counters)
		counters->drops[reason & (DROP_SLOTS - 1)] += packets;
	return TC_ACT_SHOT;
}

/*
 * Keeps two lookups in two maps from becoming one with the map in a register: the kernel puts
 * lookups in arrays in place, but only where it knows the map.
 */
#define apart() asm volatile("" ::: "memory")

static __always_inline void count_rule(__u32 identifier, __u32 packets)
{
	__u64 *counter;

	if (identifier < FEW) {
		counter = bpf_map_lookup_elem(&few_rule_counters, &identifier);
		apart();
	} else {
		counter = bpf_map_lookup_elem(&rule_counters, &identifier);
	}
	if (counter)
		*counter += packets;
}

static __always_inline struct traffic *traffic_of(__u32 index)
{
	struct counters *counters;
	struct traffic *traffic;

	if (index < FEW) {
		traffic = bpf_map_lookup_elem(&few_traffic, &index);
		apart();
		return traffic;
	}
	counters = bpf_map_lookup_elem(&tunnel_counters, &index);
	return counters ? &counters->traffic : 0;
}

static __always_inline int is_member(__u32 owner, enum set set, const struct in6_addr *address)
{
	struct member_key key = { .owner = owner, .set = set };

	__builtin_memcpy(key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&members, &key) != 0;
}

static __always_inline int is_endpoint(__u32 owner, enum set set, __be32 endpoint)
{
	struct member_key key = { .owner = owner, .set = set };

	__builtin_memcpy(key.address + 12, &endpoint, sizeof(endpoint));
	return bpf_map_lookup_elem(&members, &key) != 0;
}

static __always_inline struct address as_bits(const struct in6_addr *address)
{
	struct address bits;

	bits.high = (__u64)bpf_ntohl(address->s6_addr32[0]) << 32 | bpf_ntohl(address->s6_addr32[1]);
	bits.low = (__u64)bpf_ntohl(address->s6_addr32[2]) << 32 | bpf_ntohl(address->s6_addr32[3]);
	return bits;
}

static __always_inline void as_octets(const struct address *bits, struct in6_addr *address)
{
	address->s6_addr32[0] = bpf_htonl(bits->high >> 32);
	address->s6_addr32[1] = bpf_htonl(bits->high);
	address->s6_addr32[2] = bpf_htonl(bits->low >> 32);
	address->s6_addr32[3] = bpf_htonl(bits->low);
}

/* The address, moved so far to the right: its low 64 bits. */
static __always_inline __u64 moved(struct address address, __u32 shift)
{
	if (shift >= 64)
		return address.high >> (shift & 63);
	if (shift)
		return address.low >> (shift & 63) | address.high << ((64 - shift) & 63);
	return address.low;
}

/* Store the endpoint inside the address; return whether there is one. */
static __always_inline int select(const struct selector *selector, struct address address,
				  struct endpoint *endpoint)
{
	if ((address.high & selector->pattern_mask.high) != selector->pattern.high ||
	    (address.low & selector->pattern_mask.low) != selector->pattern.low)
		return 0;
	if (selector->flags & SELECTOR_INVERTED) {
		address.high = ~address.high;
		address.low = ~address.low;
	}
	endpoint->address = bpf_htonl((__u32)(moved(address, selector->shift) & selector->mask) |
				      selector->common);
	endpoint->port = 0;
	if (selector->flags & SELECTOR_HAS_PORT)
		endpoint->port = bpf_htons(moved(address, selector->port_shift));
	return 1;
}

/* As addresses/ipv4.py has it: not 0/8, 127/8, multicast or reserved. */
static __always_inline int is_unicast_endpoint(__be32 endpoint)
{
	__u32 first = bpf_ntohl(endpoint) >> 24;

	return first > 0 && first < 224 && first != 127;
}

static __always_inline int is_multicast(const struct in6_addr *address)
{
	return address->s6_addr[0] == 0xff;
}

/* Unspecified, loopback, IPv4-compatible and IPv4-mapped addresses (RFC 4213 section 3.6). */
static __always_inline int is_never_on_a_link(const struct tunnel *tunnel, struct address address)
{
	__u32 middle = address.low >> 32;

	if (tunnel->flags & TUNNEL_CARRIES_COMPATIBLE && !middle && address.low > 1)
		return 0;
	return address.high == 0 && (middle == 0 || middle == 0xffff);
}

/*
 * Whether one way of automatic tunnels leads back to this host. A function of its own, global, and
 * with numbers alone: so any verifier looks at it once and not once for every selector.
 */
__attribute__((noinline)) int leads_back(__u32 index, __u32 number, __u64 high, __u64 low)
{
	struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels, &index);
	struct address address = { .high = high, .low = low };
	struct endpoint endpoint;

	return tunnel &&
	       select(&tunnel->automatic[number & (AUTOMATIC_SELECTORS - 1)], address, &endpoint) &&
	       is_endpoint(index, SET_HOST_ENDPOINT, endpoint.address);
}

/* Whether any automatic tunnel would send the address back to this host (RFC 6324 section 3.3). */
static __always_inline int embeds_ours(__u32 index, const struct tunnel *tunnel,
				       struct address address)
{
	for (__u32 i = 0; i < AUTOMATIC_SELECTORS; i++) {
		if (i >= tunnel->automatic_selectors)
			break;
		if (leads_back(index, i, address.high, address.low))
			return 1;
	}
	return 0;
}

/* Whether the tunnel may speak to the far end. */
static __always_inline int is_allowed(__u32 index, __be32 endpoint)
{
	struct endpoint_key key = { .prefix_length = 32 + 32, .tunnel = index, .address = endpoint };
	__u32 *allowed = bpf_map_lookup_elem(&endpoints, &key);

	return !allowed || *allowed;
}

/*
 * Whether a rule lets an inner address be on the near side of the tunnel; the endpoint that it may
 * embed is that one or, if it is 0, any of the tunnel's.
 */
static __always_inline int is_near(__u32 index, const struct near_rule *rule, struct address address,
				   __be32 ours)
{
	struct endpoint endpoint;

	if (!rule || rule->accept == NEAR_ACCEPTED)
		return 1;
	if (rule->accept != NEAR_EMBEDDED || !select(&rule->selector, address, &endpoint))
		return 0;
	if (ours)
		return endpoint.address == ours;
	return is_endpoint(index, SET_LOCAL_ENDPOINT, endpoint.address);
}

static __always_inline int is_our_port(__be16 port)
{
	__u32 number = bpf_ntohs(port), word = number >> 6;
	__u64 *bits = bpf_map_lookup_elem(&ports, &word);

	return bits && *bits >> (number & 63) & 1;
}

static __always_inline int are_same(const struct wire_ends *one, const struct wire_ends *other)
{
	return one->inner[0] == other->inner[0] && one->inner[1] == other->inner[1] &&
	       one->inner[2] == other->inner[2] && one->inner[3] == other->inner[3] &&
	       one->outer == other->outer && one->ports == other->ports;
}

/* Where a decision about packets between two ends is remembered. */
static __always_inline __u32 place(const struct wire_ends *ends)
{
	__u64 mixed = ends->inner[0] ^ (ends->inner[1] * 0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9 + ends->inner[2];
	mixed = (mixed ^ mixed >> 32) * 0x94d049bb133111eb + ends->inner[3];
	mixed = (mixed ^ mixed >> 31) * 0x9e3779b97f4a7c15 + ends->outer + ends->ports;
	mixed *= 0xbf58476d1ce4e5b9;
	return mixed >> 54;		/* ten bits: REMEMBERED */
}

/* An IPv6 header whose addresses can be had as words. */
union inner {
	struct ipv6hdr header;
	__u64 words[5];
};

static __always_inline void take_addresses(struct wire_ends *ends, const union inner *inner)
{
	ends->inner[0] = inner->words[1];
	ends->inner[1] = inner->words[2];
	ends->inner[2] = inner->words[3];
	ends->inner[3] = inner->words[4];
}

/* Prepare a decision; it counts from when it has the generation. */
static __always_inline void begin(struct decision *decision, const struct wire_ends *wire,
				  const struct ipv6hdr *inner, __u32 generation)
{
	decision->generation = generation - 1;
	decision->wire = *wire;
	decision->ends.source = as_bits(&inner->saddr);
	decision->ends.destination = as_bits(&inner->daddr);
	decision->ends.outer_source = wire->outer >> 32;
	decision->ends.outer_destination = wire->outer;
	decision->ends.outer_source_port = wire->ports >> 16;
	decision->ends.port = wire->ports;
}

/*
 * Take a header out of a packet; return whether it has one there. Where it usually is, that costs
 * much less than a call of bpf_skb_load_bytes(). The verifier wants that place to be a constant,
 * and the compiler the type, or it reads octet by octet.
 */
#define take(skb, offset, usual, header) ({						\
	typeof(header) there = (void *)(long)(skb)->data + (usual);			\
	int taken = 1;									\
											\
	if ((offset) == (usual) && (void *)(there + 1) <= (void *)(long)(skb)->data_end)	\
		*(header) = *there;							\
	else										\
		taken = !bpf_skb_load_bytes(skb, offset, header, sizeof(*(header)));	\
	taken;										\
})

/* Put a header into a packet that has room for it there; return whether that worked. */
#define put(skb, offset, usual, header) ({						\
	typeof(header) there = (void *)(long)(skb)->data + (usual);			\
	int failed = 0;									\
											\
	if ((offset) == (usual) && (void *)(there + 1) <= (void *)(long)(skb)->data_end)	\
		*there = *(header);							\
	else										\
		failed = bpf_skb_store_bytes(skb, offset, header, sizeof(*(header)), 0);	\
	!failed;									\
})

/* What the packet will be on the wire: a super-packet is many. */
struct size {
	__u32 packets;
	__u32 octets;			/* of all of them, each with its IPv6 header */
	__u32 largest;			/* octets of the largest of them */
};

/* Store the size of an inner packet; return whether it is understood. */
static __always_inline int measure(struct __sk_buff *skb, const struct ipv6hdr *inner,
				   __u32 offset, struct size *size)
{
	__u32 length = sizeof(*inner) + bpf_ntohs(inner->payload_len);
	__u32 segment = skb->gso_size, headers = sizeof(*inner), data;
	__u8 data_offset;

	size->packets = 1;
	size->octets = size->largest = length;
	if (!segment)
		return 1;
	if (inner->nexthdr == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, offset + sizeof(*inner) + 12, &data_offset, 1))
			return 0;
		headers += (data_offset >> 4) * 4;
	} else if (inner->nexthdr == IPPROTO_UDP) {
		headers += 8;
	} else {
		return 0;
	}
	if (length <= headers)
		return 0;
	data = length - headers;
	size->packets = (data + segment - 1) / segment;
	size->octets = data + size->packets * headers;
	if (size->packets > 1)
		size->largest = headers + segment;
	return 1;
}

static __always_inline __u16 header_sum(const struct iphdr *header)
{
	const __u16 *words = (const __u16 *)header;
	__u32 sum = 0;

	#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u8 traffic_class(const struct ipv6hdr *header)
{
	return header->priority << 4 | header->flow_lbl[0] >> 4;
}

/* The outer source: the address that the inner one embeds if it is ours, or else the default. */
static __always_inline __be32 outer_source(__u32 index, const struct tunnel *tunnel,
					   struct address source)
{
	struct endpoint endpoint;

	#pragma unroll
	for (int i = 0; i < SOURCE_SELECTORS; i++) {
		if (i < tunnel->source_selectors && select(&tunnel->sources[i], source, &endpoint) &&
		    is_endpoint(index, SET_LOCAL_ENDPOINT, endpoint.address))
			return endpoint.address;
	}
	return tunnel->default_source;
}

/*
 * Ask the kernel's routing. The tunnel interface is taken for the one where the outer packet came
 * in, for only so the kernel answers for whichever way out; it wants IPv4 forwarding enabled there.
 */
static __always_inline long look_up_route(struct __sk_buff *skb, struct bpf_fib_lookup *route,
					  __u32 index, const struct iphdr *outer,
					  const struct udphdr *udp, __u32 length)
{
	__u32 flags = FIB_LOOKUP_SKIP_NEIGH | (outer->saddr ? 0 : FIB_LOOKUP_SRC);
	long result;

	__builtin_memset(route, 0, sizeof(*route));
	route->family = AF_INET;
	route->l4_protocol = outer->protocol;
	route->sport = udp->source;
	route->dport = udp->dest;
	route->tot_len = length;
	route->ifindex = index;
	route->tos = outer->tos & ~ECN_MASK;
	route->ipv4_src = outer->saddr;
	route->ipv4_dst = outer->daddr;
	result = bpf_fib_lookup(skb, route, sizeof(*route), flags);
	if (result >= 0 || !outer->saddr)
		return result;
	/* An older kernel; it also looks for the neighbour, which is of no interest here. */
	result = bpf_fib_lookup(skb, route, sizeof(*route), 0);
	return result == BPF_FIB_LKUP_RET_NO_NEIGH ? BPF_FIB_LKUP_RET_SUCCESS : result;
}

/* What encapsulate() does with a packet after decide_encapsulation() of decide.py. */
#define GO_ON (-1)

/*
 * Fill in the decision about packets between its ends, as decide_encapsulation() does. Return
 * GO_ON, or a reason: of enum drop_reason, or of enum hand_up_reason and DROP_SLOTS.
 */
__attribute__((noinline)) int decide(__u32 index, __u32 where)
{
	struct decision *decision = bpf_map_lookup_elem(&sent, &where);
	struct forwarding_rule *rule;
	struct endpoint *peer, endpoint;
	struct in6_addr source;
	struct near_rule *near;
	struct tunnel *tunnel;
	struct prefix_key key;
	struct peer_key who;

	if (!decision)
		return DROP_SLOTS + UP_NO_ENDPOINT;
	tunnel = bpf_map_lookup_elem(&tunnels, &index);
	if (!tunnel)
		return DROP_SLOTS + UP_NO_ENDPOINT;
	as_octets(&decision->ends.source, &source);
	key.prefix_length = 32 + 128;
	key.tunnel = index;
	__builtin_memcpy(key.address, &source, sizeof(key.address));
	near = bpf_map_lookup_elem(&near_sources, &key);
	if (!is_near(index, near, decision->ends.source, 0))
		return DROP_INNER_SOURCE;
	as_octets(&decision->ends.destination, (struct in6_addr *)key.address);
	rule = bpf_map_lookup_elem(&forwarding, &key);
	if (!rule)
		return DROP_SLOTS + UP_NO_ENDPOINT;
	endpoint.local_port = 0;
	if (rule->way == WAY_FIXED) {
		endpoint = rule->endpoint;
	} else if (rule->way == WAY_PEER) {
		who.tunnel = index;
		__builtin_memcpy(who.address, key.address, sizeof(who.address));
		peer = bpf_map_lookup_elem(&peers, &who);
		if (!peer)
			return DROP_SLOTS + UP_NO_ENDPOINT;
		endpoint = *peer;
	} else if (rule->way != WAY_EMBEDDED ||
		   !select(&rule->selector, decision->ends.destination, &endpoint)) {
		return DROP_SLOTS + UP_NO_ENDPOINT;
	}
	if (tunnel->port && !endpoint.port)
		return DROP_SLOTS + UP_NO_ENDPOINT;
	if (is_endpoint(index, SET_HOST_ENDPOINT, endpoint.address))
		return DROP_LOOP_ENDPOINT;
	if (!is_unicast_endpoint(endpoint.address) || !is_allowed(index, endpoint.address))
		return DROP_SLOTS + UP_NO_ENDPOINT;
	/* What a near rule accepts is ours, such as a prefix on the interfaces behind us: no loop. */
	if (!near && embeds_ours(index, tunnel, decision->ends.source) &&
	    !is_member(index, SET_HOST_ADDRESS, &source))
		return DROP_LOOP_SOURCE;
	decision->rule = rule->identifier;
	decision->endpoint = endpoint;
	decision->outer_source = outer_source(index, tunnel, decision->ends.source);
	decision->flags = tunnel->flags;
	decision->ttl = tunnel->ttl;
	decision->tos = tunnel->tos;
	decision->port = tunnel->port;
	if (tunnel->port && endpoint.local_port)
		decision->port = endpoint.local_port;
	return GO_ON;
}

/* Send a packet as decided. */
static __always_inline int send(struct __sk_buff *skb, const struct decision *decision,
				const struct ipv6hdr *inner, const struct size *size, __u32 offset)
{
	__u32 index = skb->ifindex, length, overhead;
	struct bpf_redir_neigh next;
	struct bpf_fib_lookup route;
	struct traffic *traffic;
	struct udphdr udp;
	struct iphdr outer;
	__u8 class;
	__u64 how;
	long found;

	overhead = sizeof(outer);
	how = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_FIXED_GSO;
	outer.protocol = IPPROTO_IPV6;
	__builtin_memset(&udp, 0, sizeof(udp));
	if (decision->port) {
		overhead += sizeof(udp);
		how |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
		outer.protocol = IPPROTO_UDP;
		udp.source = decision->port;
		udp.dest = decision->endpoint.port;
		udp.len = bpf_htons(sizeof(udp) + sizeof(*inner) + bpf_ntohs(inner->payload_len));
	}
	class = traffic_class(inner);
	outer.version = 4;
	outer.ihl = sizeof(outer) / 4;
	outer.tos = decision->tos | (class & ECN_MASK);	/* RFC 6040 section 4.1 */
	if (decision->flags & TUNNEL_COPIES_DSCP)
		outer.tos = class;			/* RFC 2983 */
	outer.tot_len = bpf_htons(overhead + sizeof(*inner) + bpf_ntohs(inner->payload_len));
	outer.id = 0;
	outer.frag_off = 0;
	outer.ttl = decision->ttl;
	outer.check = 0;
	outer.daddr = decision->endpoint.address;

	length = overhead + size->largest;
	if (decision->flags & TUNNEL_FOLLOWS_PATH_MTU) {
		/* DF is set, but on a path that cannot even carry the minimum MTU in one piece. */
		outer.frag_off = bpf_htons(IPV4_DONT_FRAGMENT);
		if (length <= overhead + IPV6_MINIMUM_MTU)
			length = overhead + IPV6_MINIMUM_MTU + 1;
	} else {
		outer.id = bpf_get_prandom_u32();
	}
	outer.saddr = decision->outer_source;
	found = look_up_route(skb, &route, index, &outer, &udp, length);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return hand_up(index, UP_TOO_BIG);
	if (found != BPF_FIB_LKUP_RET_SUCCESS)
		return hand_up(index, found < 0 ? UP_NO_SOURCE : UP_NO_ROUTE);
	if (!outer.saddr)
		outer.saddr = route.ipv4_src;
	if (!outer.saddr)
		return hand_up(index, UP_NO_SOURCE);
	__builtin_memset(&next, 0, sizeof(next));
	if (route.family == AF_INET6) {		/* an IPv4 route by an IPv6 gateway (RFC 8950) */
		next.nh_family = AF_INET6;
		__builtin_memcpy(next.ipv6_nh, route.ipv6_dst, sizeof(next.ipv6_nh));
	} else {
		next.nh_family = AF_INET;
		next.ipv4_nh = route.ipv4_dst;
	}
	outer.check = header_sum(&outer);

	/*
	 * The kernel encapsulates a packet once. One that came out of a tunnel still counts as
	 * encapsulated if it was merged on arrival, or sent by this same kernel.
	 */
	if (bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, how))
		return hand_up(index, UP_OFFLOAD);
	/* From here on the packet is no longer what it was, and cannot be handed up. */
	if (!put(skb, offset, 0, &outer) ||
	    (decision->port && !put(skb, offset + sizeof(outer), sizeof(outer), &udp)) ||
	    /* The next helper wants room for a link-layer header, and fills it in. */
	    bpf_skb_change_head(skb, ETH_HLEN, 0))
		return drop(index, DROP_SEND_REFUSED, size->packets);
	skb->mark = 0;			/* the inner packet's, which says nothing of the outer one */

	traffic = traffic_of(index);
	if (traffic) {
		traffic->packets_out += size->packets;
		traffic->bytes_out += size->octets;
	}
	count_rule(decision->rule, size->packets);
	return bpf_redirect_neigh(route.ifindex, &next, sizeof(next), 0);
}

SEC("tc")
int encapsulate(struct __sk_buff *skb)
{
	__u32 zero = 0, index = skb->ifindex, where, generation, offset;
	struct decision *decision;
	struct wire_ends wire;
	struct common *now;
	union inner inner;
	struct size size;
	int reason;

	/* The generation first: a table that changes meanwhile must make the decision stale. */
	now = bpf_map_lookup_elem(&common, &zero);
	if (!now)
		return TC_ACT_UNSPEC;
	generation = now->generation;
	offset = now->link_layer_length;
	if (!take(skb, offset, 0, &inner.header))
		return hand_up(index, UP_LENGTH);
	if (inner.header.version != 6)
		return hand_up(index, UP_NOT_IPV6);
	if (skb->len != offset + sizeof(inner) + bpf_ntohs(inner.header.payload_len))
		return hand_up(index, UP_LENGTH);
	if (is_multicast(&inner.header.daddr))
		return hand_up(index, UP_MULTICAST);
	if (!measure(skb, &inner.header, offset, &size))
		return hand_up(index, UP_OFFLOAD);

	take_addresses(&wire, &inner);
	wire.outer = index;
	wire.ports = 0;
	where = place(&wire);
	decision = bpf_map_lookup_elem(&sent, &where);
	if (!decision)
		return TC_ACT_UNSPEC;
	if (decision->generation != generation || !are_same(&decision->wire, &wire)) {
		begin(decision, &wire, &inner.header, generation);
		reason = decide(index, where);
		if (reason >= DROP_SLOTS)
			return hand_up(index, reason - DROP_SLOTS);
		if (reason != GO_ON)
			return drop(index, reason, size.packets);
		decision->generation = generation;
	}
	if (decision->port && skb->gso_size && inner.header.nexthdr == IPPROTO_UDP)
		return hand_up(index, UP_OFFLOAD);
	if (decision->flags & TUNNEL_WATCHES_ENDPOINTS &&
	    is_endpoint(index, SET_WATCHED_ENDPOINT, decision->endpoint.address))
		return hand_up(index, UP_WATCHED);
	return send(skb, decision, &inner.header, &size, offset);
}

/* The codepoint to forward (RFC 6040 section 4.2, figure 4), or ECN_DROP. */
static __always_inline __u8 combined_ecn(__u8 inner, __u8 outer)
{
	const __u8 not_ect = 0, ect_1 = 1, ect_0 = 2, congestion = 3;

	if (outer == congestion)
		return inner == not_ect ? ECN_DROP : congestion;
	if (inner == ect_0 && outer == ect_1)
		return ect_1;
	return inner;
}

#define ACCEPTED DROP_REASONS

/*
 * What decide_decapsulation() of decide.py says. A function of its own, global, so that the
 * verifier looks at it once and not once for every tunnel that is asked.
 */
__attribute__((noinline)) int judge(__u32 index, __u32 where)
{
	struct decision *decision = bpf_map_lookup_elem(&received, &where);
	struct in6_addr source, destination;
	struct endpoint *peer, endpoint;
	struct ingress_rule *rule;
	struct near_rule *near;
	struct tunnel *tunnel;
	struct prefix_key key;
	struct peer_key who;

	if (!decision)
		return DROP_SOURCE_MISMATCH;
	tunnel = bpf_map_lookup_elem(&tunnels, &index);
	if (!tunnel)
		return DROP_SOURCE_MISMATCH;
	if (is_endpoint(index, SET_HOST_ENDPOINT, decision->ends.outer_source))
		return DROP_OUTER_SOURCE_IS_OURS;
	if (!is_unicast_endpoint(decision->ends.outer_source))
		return DROP_OUTER_SOURCE;
	if (!is_allowed(index, decision->ends.outer_source))
		return DROP_ENDPOINT_REFUSED;
	as_octets(&decision->ends.source, &source);
	as_octets(&decision->ends.destination, &destination);
	if (is_multicast(&source) || is_never_on_a_link(tunnel, decision->ends.source))
		return DROP_INNER_SOURCE;
	if (is_never_on_a_link(tunnel, decision->ends.destination))
		return DROP_INNER_DESTINATION;
	key.prefix_length = 32 + 128;
	key.tunnel = index;
	__builtin_memcpy(key.address, &destination, sizeof(key.address));
	near = bpf_map_lookup_elem(&near_destinations, &key);
	if (!is_near(index, near, decision->ends.destination, decision->ends.outer_destination))
		return DROP_INNER_DESTINATION;
	if (!near && decision->ends.destination.high >> 54 != 0xfe80 >> 6 &&
	    embeds_ours(index, tunnel, decision->ends.destination) &&
	    !is_member(index, SET_HOST_ADDRESS, &destination))
		return DROP_LOOP_DESTINATION;
	__builtin_memcpy(key.address, &source, sizeof(key.address));
	rule = bpf_map_lookup_elem(&ingress, &key);
	if (!rule)
		return DROP_SOURCE_MISMATCH;
	decision->rule = rule->identifier;
	#pragma unroll
	for (int i = 0; i < ACCEPTED_SELECTORS; i++) {
		if (i < rule->selectors && select(&rule->accept[i], decision->ends.source, &endpoint) &&
		    endpoint.address == decision->ends.outer_source &&
		    (!(rule->accept[i].flags & SELECTOR_HAS_PORT) ||
		     endpoint.port == decision->ends.outer_source_port))
			return ACCEPTED;
	}
	if (rule->others & ACCEPT_ANYBODY)
		return ACCEPTED;
	if (rule->others & ACCEPT_PEERS) {
		who.tunnel = index;
		__builtin_memcpy(who.address, &source, sizeof(who.address));
		peer = bpf_map_lookup_elem(&peers, &who);
		if (peer && peer->address == decision->ends.outer_source &&
		    peer->port == decision->ends.outer_source_port &&
		    (peer->local_port ? peer->local_port : tunnel->port) == decision->ends.port)
			return ACCEPTED;
	}
	if (rule->others & ACCEPT_LISTED &&
	    is_endpoint(rule->identifier, SET_LISTED, decision->ends.outer_source))
		return ACCEPTED;
	return DROP_SOURCE_MISMATCH;
}

static __always_inline struct candidates *find_candidates(__be32 destination, __be32 source,
							  __be16 port)
{
	struct candidates_key key = { .destination = destination, .source = source, .port = port };

	return bpf_map_lookup_elem(&candidates, &key);
}

/*
 * Ask the tunnels that may accept packets between two ends. Return ACCEPTED, the reason why the
 * first of them refused it, or DROP_SLOTS if the packet is to be handed up. The tunnel that
 * accepted or refused is in the decision; 0 if there is none.
 */
__attribute__((noinline)) int choose(__u32 where)
{
	struct decision *decision = bpf_map_lookup_elem(&received, &where);
	struct candidates *candidate;
	__u32 refused_by = 0;
	int refused = DROP_SLOTS, verdict;
	struct tunnel *tunnel;

	if (!decision)
		return DROP_SLOTS;
	candidate = find_candidates(decision->ends.outer_destination, decision->ends.outer_source,
				    decision->ends.port);
	if (!candidate)
		candidate = find_candidates(decision->ends.outer_destination, 0,
					    decision->ends.port);
	decision->tunnel = 0;
	if (!candidate)
		return DROP_SLOTS;
	#pragma unroll
	for (int i = 0; i < CANDIDATES; i++) {
		if (i >= candidate->count)
			break;
		decision->tunnel = candidate->tunnels[i];
		verdict = judge(decision->tunnel, where);
		if (verdict == ACCEPTED)
			return ACCEPTED;
		if (!refused_by) {
			/* The first one that refuses it knows best why. */
			refused_by = decision->tunnel;
			refused = verdict;
		}
	}
	decision->tunnel = refused_by;
	tunnel = bpf_map_lookup_elem(&tunnels, &refused_by);
	if (!tunnel || candidate->count > CANDIDATES || tunnel->flags & TUNNEL_HANDS_UP_REFUSED)
		return DROP_SLOTS;
	return refused;
}

/* Take so many octets of outer headers off; return whether that worked. */
static __always_inline int strip(struct __sk_buff *skb, int overhead)
{
	int inner = sizeof(struct ipv6hdr);

	if (!bpf_skb_adjust_room(skb, -overhead, BPF_ADJ_ROOM_MAC,
				 BPF_F_ADJ_ROOM_FIXED_GSO | ADJ_ROOM_DECAP_L3_IPV6))
		return 1;
	/* An older kernel: make an IPv6 header of the IPv4 header, and then take that off. */
	return !bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) &&
	       !bpf_skb_adjust_room(skb, sizeof(struct iphdr) - inner - overhead, BPF_ADJ_ROOM_MAC,
				    BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* Octets of the link-layer header of an uplink; many if the interface is none. */
static __always_inline __u32 link_layer_of(__u32 index)
{
	__u32 *length;

	if (index < FEW) {
		length = bpf_map_lookup_elem(&few_uplinks, &index);
		if (length && *length)
			return *length - 1;
	}
	length = bpf_map_lookup_elem(&uplinks, &index);
	return length ? *length : ~0;
}

/* Whether an address may be sent one datagram more; it is counted then. */
static __always_inline int is_in_budget(const struct answer *answer, __be32 address)
{
	__u32 slot = ((address ^ answer->salt) * 0x9e3779b1) >> (32 - BUDGET_BITS);
	__u64 now, each, saved;
	struct budget *budget;

	if (!answer->rate)
		return 1;
	budget = bpf_map_lookup_elem(&budgets, &slot);
	if (!budget)
		return 0;
	now = bpf_ktime_get_ns();
	each = NANOSECONDS / answer->rate;
	saved = budget->nanoseconds + (now - budget->time);
	if (!budget->time || saved > BURST_SECONDS * NANOSECONDS)
		saved = BURST_SECONDS * NANOSECONDS;
	budget->time = now;
	if (saved < each) {
		budget->nanoseconds = saved;
		return 0;
	}
	budget->nanoseconds = saved - each;
	return 1;
}

/*
 * Answer a Teredo solicitation of which the agent has looked at one like it (RFC 4380 section 5.3.2),
 * by the way that it came. Return what becomes of the packet; TC_ACT_UNSPEC leaves it to others.
 */
__attribute__((noinline)) int answer_solicitation(struct __sk_buff *skb)
{
	/* Each call of a helper costs as much as the rest: what comes before the packet is in one. */
	struct {
		__u16 padding;
		struct ethhdr ethernet;
		struct iphdr ip;
		struct udphdr udp;
		__u8 nonce[NONCE_LENGTH];
		__u8 origin[8];
	} __attribute__((packed, aligned(8))) outer = {};
	const int head = ETH_HLEN + sizeof(outer.ip) + sizeof(outer.udp) + sizeof(outer.nonce);
	const int length = head - ETH_HLEN + sizeof(outer.origin) + ADVERTISEMENT_LENGTH;
	struct solicitation solicitation;
	__u8 address[ETH_ALEN];
	struct traffic *traffic;
	struct answer *answer;
	__be32 there, tunnel;
	__be16 port;

	if (skb->len != head + SOLICITATION_LENGTH ||
	    bpf_skb_load_bytes(skb, 0, &outer.ethernet, head) ||
	    bpf_skb_load_bytes(skb, head, solicitation.packet, SOLICITATION_LENGTH))
		return TC_ACT_UNSPEC;
	/* The authentication encapsulation without identifier and value, and all is well. */
	if (outer.nonce[0] || outer.nonce[1] != 1 || outer.nonce[2] || outer.nonce[3] ||
	    outer.nonce[NONCE_LENGTH - 1])
		return TC_ACT_UNSPEC;
	/* A checksum that somebody has still to finish would be wrong for what is sent. */
	if (header_sum(&outer.ip) ||
	    (outer.udp.check && bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) < 0))
		return TC_ACT_UNSPEC;
	there = outer.ip.saddr;
	port = outer.udp.source;
	solicitation.destination = outer.ip.daddr;
	answer = bpf_map_lookup_elem(&answers, &solicitation);
	if (!answer || !port)
		return TC_ACT_UNSPEC;
	tunnel = answer->tunnel;
	if (!is_allowed(tunnel, there) || is_endpoint(tunnel, SET_HOST_ENDPOINT, there))
		return TC_ACT_UNSPEC;
	if (!is_in_budget(answer, there))
		return drop(tunnel, DROP_ENDPOINT_REFUSED, 1);

	__builtin_memcpy(address, outer.ethernet.h_source, ETH_ALEN);
	__builtin_memcpy(outer.ethernet.h_source, outer.ethernet.h_dest, ETH_ALEN);
	__builtin_memcpy(outer.ethernet.h_dest, address, ETH_ALEN);
	outer.ip.daddr = there;
	outer.ip.saddr = answer->source;
	outer.ip.tos = 0;
	outer.ip.ttl = 64;
	outer.ip.id = 0;
	outer.ip.frag_off = 0;
	outer.ip.tot_len = bpf_htons(length);
	outer.ip.check = 0;
	outer.ip.check = header_sum(&outer.ip);
	outer.udp.source = outer.udp.dest;
	outer.udp.dest = port;
	outer.udp.len = bpf_htons(length - sizeof(outer.ip));
	outer.udp.check = 0;
	port = ~port;
	there = ~there;
	__builtin_memcpy(outer.origin + 2, &port, sizeof(port));
	__builtin_memcpy(outer.origin + 4, &there, sizeof(there));
	if (bpf_skb_change_tail(skb, ETH_HLEN + length, 0) ||
	    bpf_skb_store_bytes(skb, 0, &outer.ethernet, head + sizeof(outer.origin),
				BPF_F_INVALIDATE_HASH) ||
	    bpf_skb_store_bytes(skb, head + sizeof(outer.origin), answer->packet,
				ADVERTISEMENT_LENGTH, 0))
		return drop(tunnel, DROP_TUNNEL_DOWN, 1);
	traffic = traffic_of(tunnel);
	if (traffic) {
		traffic->packets_in++;
		traffic->bytes_in += SOLICITATION_LENGTH;
		traffic->packets_out++;
		traffic->bytes_out += ADVERTISEMENT_LENGTH;
	}
	count_rule(answer->identifier, 1);
	return bpf_redirect(skb->ifindex, 0);
}

SEC("tc")
int decapsulate(struct __sk_buff *skb)
{
	__u32 zero = 0, index, offset, where, overhead, generation;
	struct decision *decision;
	struct traffic *traffic;
	struct wire_ends wire;
	__u8 class, ecn, octet;
	struct common *now;
	union inner inner;
	struct udphdr udp;
	struct iphdr outer;
	struct size size;
	int verdict;

	/* A frame with a VLAN tag is for another interface, which has this program itself. */
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present ||
	    skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	offset = link_layer_of(skb->ifindex);
	if (offset > ETH_HLEN)
		return TC_ACT_UNSPEC;
	if (!take(skb, offset, ETH_HLEN, &outer) || outer.version != 4)
		return TC_ACT_UNSPEC;
	overhead = sizeof(outer);
	__builtin_memset(&udp, 0, sizeof(udp));
	if (outer.protocol == IPPROTO_UDP) {
		/* What is not certainly ours goes on to whoever's it is. */
		if (outer.ihl != sizeof(outer) / 4 ||
		    outer.frag_off & bpf_htons(IPV4_MORE_FRAGMENTS_OR_OFFSET) ||
		    bpf_skb_load_bytes(skb, offset + sizeof(outer), &udp, sizeof(udp)) ||
		    !is_our_port(udp.dest))
			return TC_ACT_UNSPEC;
		overhead += sizeof(udp);
		if (udp.dest == bpf_htons(TEREDO_PORT) && offset == ETH_HLEN &&
		    bpf_ntohs(outer.tot_len) == overhead + NONCE_LENGTH + SOLICITATION_LENGTH) {
			verdict = answer_solicitation(skb);
			if (verdict != TC_ACT_UNSPEC)
				return verdict;
		}
	} else if (outer.protocol != IPPROTO_IPV6) {
		return TC_ACT_UNSPEC;
	}

	/* The generation first: a table that changes meanwhile must make the decision stale. */
	now = bpf_map_lookup_elem(&common, &zero);
	if (!now)
		return TC_ACT_UNSPEC;
	generation = now->generation;
	if (outer.ihl != sizeof(outer) / 4)
		return hand_up(0, UP_OPTIONS);
	if (outer.frag_off & bpf_htons(IPV4_MORE_FRAGMENTS_OR_OFFSET))
		return hand_up(0, UP_FRAGMENT);
	/* The network card may have looked at that of UDP; if it has not, the socket does. */
	if (header_sum(&outer) || (udp.check && bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) < 0))
		return hand_up(0, UP_CHECKSUM);
	if (!take(skb, offset + overhead, ETH_HLEN + sizeof(outer), &inner.header))
		return hand_up(0, UP_LENGTH);
	if (inner.header.version != 6)
		return hand_up(0, UP_NOT_IPV6);
	if (bpf_ntohs(outer.tot_len) != overhead + sizeof(inner) + bpf_ntohs(inner.header.payload_len) ||
	    (udp.dest && bpf_ntohs(udp.len) != bpf_ntohs(outer.tot_len) - sizeof(outer)) ||
	    skb->len != offset + bpf_ntohs(outer.tot_len))
		return hand_up(0, UP_LENGTH);
	if (is_multicast(&inner.header.daddr))
		return hand_up(0, UP_MULTICAST);
	if (udp.dest && inner.header.nexthdr == NO_NEXT_HEADER)	/* a bubble (RFC 4380 section 2.8) */
		return hand_up(0, UP_CONTROL);
	if (inner.header.nexthdr == IPPROTO_ICMPV6 && inner.header.payload_len) {
		if (bpf_skb_load_bytes(skb, offset + overhead + sizeof(inner), &octet, 1))
			return hand_up(0, UP_LENGTH);
		if (octet >= ICMPV6_ROUTER_SOLICITATION && octet <= ICMPV6_REDIRECT)
			return hand_up(0, UP_CONTROL);
	}
	if (!measure(skb, &inner.header, offset + overhead, &size) ||
	    (udp.dest && skb->gso_size && inner.header.nexthdr == IPPROTO_UDP))
		return hand_up(0, UP_OFFLOAD);

	take_addresses(&wire, &inner);
	wire.outer = (__u64)outer.saddr << 32 | outer.daddr;
	wire.ports = (__u32)udp.source << 16 | udp.dest;
	where = place(&wire);
	decision = bpf_map_lookup_elem(&received, &where);
	if (!decision)
		return TC_ACT_UNSPEC;
	if (decision->generation != generation || !are_same(&decision->wire, &wire)) {
		begin(decision, &wire, &inner.header, generation);
		verdict = choose(where);
		if (verdict == DROP_SLOTS)
			return hand_up(decision->tunnel, UP_REFUSED);
		if (verdict != ACCEPTED)
			return drop(decision->tunnel, verdict, size.packets);
		decision->generation = generation;
	}
	index = decision->tunnel;

	class = traffic_class(&inner.header);
	ecn = combined_ecn(class & ECN_MASK, outer.tos & ECN_MASK);
	if (ecn == ECN_DROP)
		return drop(index, DROP_ECN, size.packets);
	if (!strip(skb, overhead))
		return drop(index, DROP_TUNNEL_DOWN, size.packets);
	if (ecn != (class & ECN_MASK)) {
		octet = (inner.header.flow_lbl[0] & ~(ECN_MASK << 4)) | ecn << 4;
		if (bpf_skb_store_bytes(skb, offset + 1, &octet, 1, 0))
			return drop(index, DROP_TUNNEL_DOWN, size.packets);
	}
	bpf_set_hash_invalid(skb);	/* it was that of the outer addresses */
	skb->mark = 0;			/* the outer packet's, which says nothing of the inner one */

	traffic = traffic_of(index);
	if (traffic) {
		traffic->packets_in += size.packets;
		traffic->bytes_in += size.octets;
	}
	count_rule(decision->rule, size.packets);
	return bpf_redirect(index, BPF_F_INGRESS);
}

/* What the agent asks, and gets back with the answers filled in; inquiry.py has it in Python. */
struct inquiry {
	__u32 tunnel;
	__u32 tos;
	__be32 source;			/* 0 leaves the choice to the kernel's routing */
	__be32 destination;
	__be16 source_port;		/* both 0 in protocol 41 */
	__be16 destination_port;
	__u32 uplink;			/* from here on answers */
	__u32 path_mtu;
};

/*
 * By which way encapsulate() would send. It is on no interface: the agent runs it on a frame that
 * carries the question (BPF_PROG_TEST_RUN), so that what it tells people is what packets meet.
 */
SEC("tc")
int inquire(struct __sk_buff *skb)
{
	struct bpf_fib_lookup route;
	struct inquiry inquiry;
	struct udphdr udp;
	struct iphdr outer;
	long found;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &inquiry, sizeof(inquiry)))
		return -1;
	__builtin_memset(&outer, 0, sizeof(outer));
	outer.tos = inquiry.tos;
	outer.saddr = inquiry.source;
	outer.daddr = inquiry.destination;
	outer.protocol = inquiry.source_port ? IPPROTO_UDP : IPPROTO_IPV6;
	udp.source = inquiry.source_port;
	udp.dest = inquiry.destination_port;
	/* Nothing is as long as that: the answer is how long it may be. */
	found = look_up_route(skb, &route, inquiry.tunnel, &outer, &udp, 0xffff);
	inquiry.path_mtu = found == BPF_FIB_LKUP_RET_FRAG_NEEDED ? route.mtu_result : 0xffff;
	found = look_up_route(skb, &route, inquiry.tunnel, &outer, &udp, sizeof(outer));
	inquiry.uplink = route.ifindex;
	if (!inquiry.source)
		inquiry.source = route.ipv4_src;
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &inquiry, sizeof(inquiry), 0))
		return -1;
	return found;
}

const char gpl[] SEC("license") = "GPL";
