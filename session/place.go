package session

import (
	"strconv"
	"strings"
)

// A Place is where somebody is, as far as an address tells.
type Place struct {
	IP      string // canonical text, no zone; "" if unknown
	Country string // ISO 3166-1 alpha-2; "" if unknown
	ASN     uint32 // autonomous system number (RFC 6793); 0 if unknown
}

// PackPlace writes a place as one text: address, country, ASN, tab-separated,
// without the empty ones at its end.
func PackPlace(p Place) string {
	asn := ""
	if p.ASN != 0 {
		asn = strconv.FormatUint(uint64(p.ASN), 10)
	}
	return strings.TrimRight(p.IP+"\t"+p.Country+"\t"+asn, "\t")
}

// UnpackPlace reads what PackPlace wrote. A country or network that is none is
// left out.
func UnpackPlace(s string) Place {
	ip, rest, _ := strings.Cut(s, "\t")
	country, asn, _ := strings.Cut(rest, "\t")
	p := Place{IP: ip}
	if IsCountry(country) {
		p.Country = country
	}
	if n, err := strconv.ParseUint(asn, 10, 32); err == nil {
		p.ASN = uint32(n)
	}
	return p
}

// IsCountry says whether s has the form of a country code of ISO 3166-1 alpha-2:
// two capital letters.
func IsCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
