// Light and its encoding. Averages are taken of light (0 to 1), not of the numbers that pictures
// store it in, which are sRGB's (IEC 61966-2-1): those of a black and a white pixel average to half
// the light, 188, and not to 128.
#ifndef FM_DATA_SRGB_H
#define FM_DATA_SRGB_H

// The light of each stored value.
void fm_srgb_light(double light[256]);

// The stored value of `light`, not rounded: 0 to 255. What is out of range is clamped.
double fm_srgb_value(double light);

// Luminance of light in sRGB's primaries (ITU-R BT.709), 0 to 1.
static inline double fm_luminance(double red, double green, double blue)
{
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

#endif
